# tsa - one file, no recursion.  `make help` lists what a person types.
#
# A folder is a library (ranks 0-2) or a program (rank 3); a new .c file in a folder is picked up by itself.
# Programs and tests link the archives of lower ranks, so that only what is used comes in.

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:

VERSION := $(shell cat VERSION)
CC      ?= cc
ifeq ($(origin CC),default)
CC      := gcc
endif
B       ?= build
PREFIX  ?= /usr
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
LIBEXECDIR ?= $(PREFIX)/libexec/tsa
DATADIR ?= $(PREFIX)/share/tsa
DESTDIR ?=
DEVEL   ?=

# --- flags -------------------------------------------------------------------------------------------------------------
WARN := -Wall -Wextra -Wformat=2 -Wconversion -Wsign-conversion -Wshadow -Wimplicit-fallthrough -Wvla -Wstrict-prototypes \
	-Wmissing-prototypes -Wcast-qual -Wpointer-arith -Wundef -Wno-missing-field-initializers \
	-Werror=format-security -Werror=implicit -Werror=incompatible-pointer-types -Werror=int-conversion
HARD := -fstack-protector-strong -fno-delete-null-pointer-checks -fno-strict-overflow -fno-strict-aliasing -fPIE
ARCH := $(shell uname -m)
IS_CLANG := $(shell $(CC) --version 2>/dev/null | grep -c clang)
ifeq ($(IS_CLANG),0)
WARN += -Wtrampolines -Wbidi-chars=any
HARD += -ftrivial-auto-var-init=zero
endif
ifneq ($(filter x86_64,$(ARCH)),)
HARD += -fcf-protection=full -fstack-clash-protection
endif
ifdef SANITIZE
B    := build/$(SANITIZE)
OPT  := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
HARD := $(filter-out -ftrivial-auto-var-init=zero,$(HARD))
LDOPT := -fsanitize=$(SANITIZE)
else
OPT  := -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif
ifdef WERROR
WARN += -Werror
endif
PKGS := libevent libcurl json-c libsystemd
CPPFLAGS := -I. -D_GNU_SOURCE -DTSA_VERSION='"$(VERSION)"' -DTSA_LIBEXECDIR='"$(LIBEXECDIR)"' -DTSA_SYSCONFDIR='"$(SYSCONFDIR)/tsa"' \
	-DTSA_DATADIR='"$(DATADIR)"' \
	$(shell pkg-config --cflags $(PKGS) 2>/dev/null)
CFLAGS  := -std=c17 $(OPT) $(WARN) $(HARD) $(DEVEL)
LDFLAGS := -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,nodlopen -Wl,--as-needed $(LDOPT)

# --- what there is -----------------------------------------------------------------------------------------------------
LIBDIRS  := base conf shm ctl proc probes route http
PROGRAMS := tsad tsa-worker tsa-router tsactl ollama-sim tsa-load tsa-simulate tsa-features
src_of    = $(filter-out %.test.c,$(sort $(wildcard $(1)/*.c)))
obj_of    = $(patsubst %.c,$(B)/obj/%.o,$(call src_of,$(1)))

SRC_tsad       := supervisor
SRC_tsa-worker := worker
SRC_tsa-router := router
SRC_tsactl     := tools/tsactl
SRC_ollama-sim := tools/sim
SRC_tsa-load   := tools/load
SRC_tsa-simulate := tools/simulate
SRC_tsa-features := tools/train

# The libraries each program may see; the lint of the include lattice is the other half of this rule.
LIBS_tsad       := route conf shm ctl proc base
LIBS_tsa-worker := probes shm proc base
LIBS_tsa-router := http route conf shm proc base
LIBS_tsactl     := route conf ctl shm base
LIBS_ollama-sim := base
LIBS_tsa-load   := base
LIBS_tsa-features := route base
LIBS_tsa-simulate := route shm base

EXT_tsad       := -levent_core -lsystemd -lm
EXT_tsa-worker := -levent_core -lcurl -ljson-c -lsystemd
EXT_tsa-router := -levent_core -ljson-c -lsystemd -lm
EXT_tsactl     := -ljson-c -lsystemd -lm
EXT_ollama-sim := -levent_core -lsystemd -lm
EXT_tsa-load   := -levent_core -lsystemd -lm
EXT_tsa-features := -lsystemd
EXT_tsa-simulate := -ljson-c -lm

# `make V=1` shows the commands.
V ?= 0
ifeq ($(V),0)
Q   := @
say  = @printf '  %-3s %s\n' $(1) $(2)
else
Q   :=
say  = @:
endif

.PHONY: all help
all: $(addprefix $(B)/,$(PROGRAMS))

help:
	@echo 'make            build everything into build/'
	@echo 'make run        install what is missing (apt), build, start the fabric in the foreground, print what to try'
	@echo 'make test       install what is missing (apt), build, run every test'
	@echo 'make check      unit tests only; one of them: make check T=base_scan'
	@echo 'make flow       flow tests with the real programs; some of them: make flow T=test_chat'
	@echo 'make race       writers of the board killed in mid-line, readers never torn'
	@echo 'make test-asan  the same under AddressSanitizer and UBSan, every process of the tree; a leak at its exit fails'
	@echo 'make test-vm    the promises under systemd, in an emulated Debian (root, some minutes); some of them: T="stops full_disk"'
	@echo 'make fuzz       libFuzzer targets under ASan and UBSan, FUZZ_S=60 seconds each; one: make fuzz T=http_view'
	@echo 'make fuzz-cover lines of its own files that each target reaches from its saved corpus; below 95 %% is a failure'
	@echo 'make sweep      fail one allocation or system call after another of a session; sweep-asan: with a leak checker'
	@echo 'make soak       clients of every kind for SOAK_S=1800 seconds, a reload and a sudden death each minute; a table and a verdict'
	@echo 'make bench      CPU and memory per request and per chunk beside HAProxy and nginx'
	@echo 'make model      the protocol of a line and the life of a child, explored to the end'
	@echo 'make bench-live  what placing requests well is worth: mixed speeds, overload, fairness, with simulated instances'
	@echo 'make bench-board  a billion reads of the board beside writers flat out, and the mistakes that this would show'
	@echo 'make lint       include lattice, banned calls, tables and messages against man pages, man pages'
	@echo 'make analyze    gcc -fanalyzer, cppcheck and clang-tidy; a finding needs its reason in tests/analyze.known'
	@echo 'make format     clang-format over all C files'
	@echo 'make deps       install the Debian packages that building and testing need'
	@echo 'make install    into $$DESTDIR$$PREFIX (PREFIX=$(PREFIX)); make uninstall takes it away again'
	@echo 'make clean'

# --- objects, archives, programs ---------------------------------------------------------------------------------------
# What was compiled in: installing to another PREFIX builds anew what names paths.
$(B)/paths: FORCE
	@mkdir -p $(@D)
	@echo '$(LIBEXECDIR) $(SYSCONFDIR) $(DATADIR)' | cmp -s - $@ || echo '$(LIBEXECDIR) $(SYSCONFDIR) $(DATADIR)' >$@
.PHONY: FORCE
FORCE:

$(B)/obj/%.o: %.c Makefile VERSION $(B)/paths
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

define archive_rule
$(B)/lib$(1).a: $(call obj_of,$(1))
	@rm -f $$@
	$(Q)ar rcsD $$@ $$^
endef
$(foreach d,$(LIBDIRS),$(eval $(call archive_rule,$(d))))

define program_rule
$(B)/$(1): $(call obj_of,$(SRC_$(1))) $(foreach l,$(LIBS_$(1)),$(B)/lib$(l).a)
	$(call say,LD,$$@)
	$(Q)$$(CC) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ $(EXT_$(1))
endef
$(foreach p,$(PROGRAMS),$(eval $(call program_rule,$(p))))

# --- tests -------------------------------------------------------------------------------------------------------------
# tests/unit/NAME.c is one cmocka program; it links the archives, so only the objects it proves (and what they need) come in.
UNIT_SRC  := $(sort $(wildcard tests/unit/*.c))
UNIT_BIN  := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_SRC))
RACE_BIN  := $(patsubst tests/race/%.c,$(B)/race/%,$(sort $(wildcard tests/race/*.c)))
TEST_LIBS := probes route http conf ctl shm proc base
TEST_EXT  := -lcmocka -levent_core -lcurl -ljson-c -lsystemd -lm -lpthread
# The objects of a program that decide and hold no main(): the unit tests of that folder (FOLDER_*.c) link them too.
PURE_OBJS := $(patsubst %.c,$(B)/obj/%.o,$(wildcard supervisor/life.c supervisor/state.c worker/life.c worker/catalog.c worker/judge.c tools/tsactl/words.c tools/tsactl/text.c tools/tsactl/symptoms.c \
	router/model.c router/origin.c router/progress.c router/carry.c router/loop.c router/conn.c))
pure_of    = $(foreach o,$(PURE_OBJS),$(if $(findstring /$(firstword $(subst _, ,$(1)))/,$(o)),$(o))) \
	$(if $(filter router_models,$(1)),$(B)/obj/router/models.o) # the test brings what that needs of router/learn.c

.SECONDEXPANSION:
$(B)/unit/%: $(B)/obj/tests/unit/%.o $$(call pure_of,$$*) $(foreach l,$(TEST_LIBS),$(B)/lib$(l).a)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(TEST_EXT)
$(B)/oracle/%: $(B)/obj/tests/oracle/%.o $(B)/libhttp.a $(B)/libbase.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^
$(B)/race/%: $(B)/obj/tests/race/%.o $(foreach l,$(TEST_LIBS),$(B)/lib$(l).a)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(TEST_EXT)
# tests/bench/NAME.c: nanoseconds of one object's functions.
$(B)/bench/%: $(B)/obj/tests/bench/%.o $(foreach l,$(TEST_LIBS),$(B)/lib$(l).a)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -ljson-c -lsystemd -lm

.SECONDARY:
.PHONY: check race
check: $(if $(T),$(B)/unit/$(T),$(UNIT_BIN))
	@tests/run-unit $^
race: $(RACE_BIN)
	@tests/run-unit $^

# shm/seq.h as it is and with each mistake that tests/seq/mistakes knows, hammered, and explored to the end under two kinds of memory.
SEQ_WAYS  := $(shell tests/seq/mistakes)
SEQ_BIN   := $(foreach w,$(SEQ_WAYS),$(B)/seq/$(w)/hammer $(B)/seq/$(w)/model) $(B)/seq/right/races $(B)/seq/plain-copy/races
SEQ_FLAGS := -std=c17 -g $(WARN) -Wno-cast-qual -pthread
.PRECIOUS: $(B)/seq/%/shm/seq.h
$(B)/seq/%/shm/seq.h: shm/seq.h tests/seq/mistakes
	@mkdir -p $(@D)
	@tests/seq/mistakes $* <shm/seq.h >$@
SEQ_BASE  := base/scan.c base/why.c base/clock.c
SEQ_FROM   = $(B)/seq/%/shm/seq.h shm/layout.h shm/reader.h shm/states.def base/bug.h base/clock.h base/scan.h $(SEQ_BASE) Makefile
$(B)/seq/%/hammer: tests/seq/hammer.c $(SEQ_FROM)
	$(call say,CC,$@)
	$(Q)$(CC) -I$(B)/seq/$* $(CPPFLAGS) $(SEQ_FLAGS) -O2 -o $@ $< $(SEQ_BASE)
$(B)/seq/%/races: tests/seq/hammer.c $(SEQ_FROM)
	$(call say,CC,$@)
	$(Q)$(CC) -I$(B)/seq/$* $(CPPFLAGS) $(SEQ_FLAGS) -O1 -fsanitize=thread -o $@ $< $(SEQ_BASE)
$(B)/seq/%/model: tests/seq/model.c $(SEQ_FROM)
	$(call say,CC,$@)
	$(Q)$(CC) -I$(B)/seq/$* $(CPPFLAGS) $(SEQ_FLAGS) -O2 -o $@ $<

# The tables that decide, beside a world that does everything it can.
MODEL_BIN := $(patsubst tests/model/%.c,$(B)/model/%,$(wildcard tests/model/*.c))
$(B)/model/%: $(B)/obj/tests/model/%.o $(B)/obj/supervisor/life.o $(B)/libshm.a $(B)/libbase.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^
.PHONY: model bench-board
model: $(B)/seq/right/model $(MODEL_BIN)
	@for m in $^; do echo $$m; nice $$m || exit 1; done
bench-board: $(SEQ_BIN)
	@tests/seq/show $(B)

# `make test` is the whole proof: it installs what is missing, builds, and runs every part; the last line counts.
.PHONY: deps test test-vm flow lint analyze fuzz bench bench-live test-asan run
deps:
	@tools/dev/deps test
run:
	@tools/dev/deps build
	@$(MAKE) --no-print-directory -j2 all
	@tools/dev/run
test:
	@tools/dev/deps test
	@$(MAKE) --no-print-directory -j2 all unit-programs fuzz-programs
	@tests/all $(B)

.PHONY: unit-programs
unit-programs: $(B)/sweep/shim.so $(UNIT_BIN) $(RACE_BIN) $(SEQ_BIN) $(MODEL_BIN) $(B)/oracle/view

VENV := build/venv
$(VENV)/ok: tests/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install -q --disable-pip-version-check -r $<
	@touch $@
flow: all $(B)/oracle/view $(SEQ_BIN) $(MODEL_BIN) $(VENV)/ok $(B)/sweep/shim.so
	@TSA_BUILD=$(B) $(VENV)/bin/pytest -q tests/flow tests/hostile $(if $(T),-k '$(T)')
lint:
	@tests/lint
# gcc's takes seconds and cppcheck's, too; clang-tidy takes minutes, so make test leaves it out.
ANALYZERS ?= gcc cppcheck tidy
analyze:
	@tools/dev/deps $(if $(filter tidy,$(ANALYZERS)),analyze,test)
	@CPPFLAGS='$(subst ','\'',$(CPPFLAGS))' tests/analyze $(ANALYZERS)
test-asan:
	@tools/dev/deps test
	@$(MAKE) --no-print-directory -j2 SANITIZE=address,undefined all unit-programs
	@TSA_PATIENCE=4 tests/all build/address,undefined
# One call after another of a scripted session fails: SWEEP='--every' for each of them, or '--target router --class sys'.
$(B)/sweep/shim.so: tests/sweep/shim.c
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O1 -g $(filter-out -Wconversion -Wsign-conversion -Wmissing-prototypes -Wmissing-declarations,$(WARN)) \
		-fno-omit-frame-pointer -fPIC -shared -o $@ $<
.PHONY: sweep sweep-asan soak
soak: all
	@TSA_BUILD=$(B) python3 tests/soak/run
sweep: all $(B)/sweep/shim.so $(VENV)/ok
	@TSA_BUILD=$(B) $(VENV)/bin/python tests/sweep/run $(SWEEP)
sweep-asan:
	@$(MAKE) --no-print-directory -j2 SANITIZE=address,undefined all build/address,undefined/sweep/shim.so
	@TSA_BUILD=build/address,undefined TSA_PATIENCE=4 python3 tests/sweep/run --class alloc $(SWEEP)
test-vm: all
	@tests/vm/run $(B) $(T)
bench: all
	@tests/bench/run

bench-live: all
	@TSA_BUILD=$(B) tests/bench/live

# libFuzzer targets: tests/fuzz/NAME.c, its corpus tests/fuzz/corpus/NAME, its words tests/fuzz/NAME.dict.  FUZZ_S seconds each.
# One build serves both: ASan and UBSan to find, clang's source coverage to show what the corpora reach (tests/fuzz/own).
FUZZ_S    ?= 60
FUZZ_BIN  := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(sort $(wildcard tests/fuzz/*.c)))
FUZZ_LIBS := $(sort $(wildcard $(addsuffix /*.c,base conf shm ctl proc probes route http)) supervisor/state.c)
FUZZ_CC   := clang -std=c17 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fprofile-instr-generate -fcoverage-mapping
build/fuzz/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer-no-link $(CPPFLAGS) -MMD -MP -c -o $@ $<
build/fuzz/libtsa.a: $(patsubst %.c,build/fuzz/obj/%.o,$(FUZZ_LIBS))
	@rm -f $@
	$(Q)ar rcsD $@ $^
$(FUZZ_BIN): build/fuzz/%: build/fuzz/obj/tests/fuzz/%.o build/fuzz/libtsa.a
	$(call say,FZ,$@)
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer -o $@ $^ -levent_core -lcurl -ljson-c -lsystemd -lm
.PHONY: fuzz-programs fuzz-cover fuzz-corpus
fuzz-programs: $(FUZZ_BIN)
# What is found goes to build/fuzz/corpus; fuzz-corpus takes into the saved corpora what reaches something new.
fuzz: $(if $(T),build/fuzz/$(T),$(FUZZ_BIN))
	@tests/run-fuzz --keep --seconds $(FUZZ_S) $(notdir $^)
fuzz-cover: $(if $(T),build/fuzz/$(T),$(FUZZ_BIN))
	@tests/run-fuzz --cover $(notdir $^)
fuzz-corpus: $(if $(T),build/fuzz/$(T),$(FUZZ_BIN))
	@tests/run-fuzz --merge $(notdir $^)

# --- install -----------------------------------------------------------------------------------------------------------
.PHONY: install uninstall
MAN8 := tsad.8 tsactl.8
MAN5 := tsa.conf.5 tsa-board.5
MAN7 := tsa-api.7 tsa-http.7
MAN1 := ollama-sim.1 tsa-load.1 tsa-simulate.1
install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSCONFDIR)/tsa/instances.d \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(DATADIR) $(foreach n,1 5 7 8,$(DESTDIR)$(PREFIX)/share/man/man$(n))
	install -m755 $(B)/tsad $(DESTDIR)$(PREFIX)/sbin/
	install -m755 $(B)/tsactl $(B)/ollama-sim $(B)/tsa-load $(B)/tsa-simulate $(DESTDIR)$(PREFIX)/bin/
	install -m755 $(B)/tsa-worker $(B)/tsa-router $(DESTDIR)$(LIBEXECDIR)/
	sed 's,@SBINDIR@,$(PREFIX)/sbin,; s,@BINDIR@,$(PREFIX)/bin,; s,/etc/tsa/,$(SYSCONFDIR)/tsa/,' etc/tsa.service >$(DESTDIR)$(UNITDIR)/tsa.service
	install -m644 etc/tsa.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/tsa.conf
	install -m644 etc/classifier.weights etc/classifier.NOTICE $(DESTDIR)$(DATADIR)/
	install -m644 $(addprefix man/,$(MAN8)) $(DESTDIR)$(PREFIX)/share/man/man8/
	install -m644 $(addprefix man/,$(MAN5)) $(DESTDIR)$(PREFIX)/share/man/man5/
	install -m644 $(addprefix man/,$(MAN7)) $(DESTDIR)$(PREFIX)/share/man/man7/
	install -m644 $(addprefix man/,$(MAN1)) $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m644 etc/instances.d/*.example $(DESTDIR)$(SYSCONFDIR)/tsa/instances.d/
	for f in models.json task_categories.json; do [ -e $(DESTDIR)$(SYSCONFDIR)/tsa/$$f ] || install -m644 etc/$$f $(DESTDIR)$(SYSCONFDIR)/tsa/; done
	[ -e $(DESTDIR)$(SYSCONFDIR)/tsa/tsa.conf ] || \
		sed 's,/etc/tsa/,$(SYSCONFDIR)/tsa/,' etc/tsa.conf | install -m644 /dev/stdin $(DESTDIR)$(SYSCONFDIR)/tsa/tsa.conf
# The operator's configuration stays.
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/sbin/tsad $(addprefix $(DESTDIR)$(PREFIX)/bin/,tsactl ollama-sim tsa-load tsa-simulate) $(DESTDIR)$(UNITDIR)/tsa.service \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d/tsa.conf $(addprefix $(DESTDIR)$(PREFIX)/share/man/man8/,$(MAN8)) \
		$(addprefix $(DESTDIR)$(PREFIX)/share/man/man5/,$(MAN5)) $(addprefix $(DESTDIR)$(PREFIX)/share/man/man7/,$(MAN7)) \
		$(addprefix $(DESTDIR)$(PREFIX)/share/man/man1/,$(MAN1))
	rm -rf $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(DATADIR)

.PHONY: format clean
format:
	clang-format -i $(wildcard $(addsuffix /*.[ch],$(LIBDIRS) supervisor worker router tools/* tests/*))
clean:
	rm -rf build

-include $(shell find $(B)/obj build/fuzz/obj -name '*.d' 2>/dev/null)

