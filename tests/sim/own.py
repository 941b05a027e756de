"""x"""
def run(report, wanted):
    pass
