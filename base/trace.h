/* base/trace.h - where a program was when it had to end. */
#pragma once

/* From now on SIGABRT, and the signals of a crash where nobody has taken them (a sanitizer does), print the stack on standard error and
 * end the program as they would have.  `program` must live on.  `addr2line -fe PROGRAM ADDRESS` names the lines. */
void trace_on_crash(const char *program);
