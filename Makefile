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
PKGS := libevent libcurl json-c libsystemd libconfuse
CPPFLAGS := -I. -D_GNU_SOURCE -DTSA_VERSION='"$(VERSION)"' -DTSA_LIBEXECDIR='"$(LIBEXECDIR)"' -DTSA_SYSCONFDIR='"$(SYSCONFDIR)/tsa"' \
	$(shell pkg-config --cflags $(PKGS) 2>/dev/null)
CFLAGS  := -std=c17 $(OPT) $(WARN) $(HARD) $(DEVEL)
LDFLAGS := -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,nodlopen -Wl,--as-needed $(LDOPT)

# --- what there is -----------------------------------------------------------------------------------------------------
LIBDIRS  := base conf shm ctl proc probes route http
PROGRAMS := tsad tsa-worker tsa-router tsactl ollama-sim tsa-load
src_of    = $(filter-out %.test.c,$(sort $(wildcard $(1)/*.c)))
obj_of    = $(patsubst %.c,$(B)/obj/%.o,$(call src_of,$(1)))

SRC_tsad       := supervisor
SRC_tsa-worker := worker
SRC_tsa-router := router
SRC_tsactl     := tools/tsactl
SRC_ollama-sim := tools/sim
SRC_tsa-load   := tools/load

# The libraries each program may see; the lint of the include lattice is the other half of this rule.
LIBS_tsad       := conf shm ctl proc base
LIBS_tsa-worker := probes shm proc base
LIBS_tsa-router := http route shm proc base
LIBS_tsactl     := ctl shm base
LIBS_ollama-sim := base
LIBS_tsa-load   := base

EXT_tsad       := -levent_core -lsystemd -lconfuse
EXT_tsa-worker := -levent_core -lcurl -ljson-c -lsystemd
EXT_tsa-router := -levent_core -ljson-c -lsystemd
EXT_tsactl     := -ljson-c -lsystemd
EXT_ollama-sim := -levent_core -ljson-c -lsystemd -lm
EXT_tsa-load   := -levent_core -lsystemd -lm

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
	@echo 'make asan       the unit and flow tests under AddressSanitizer and UBSan'
	@echo 'make bench      CPU and memory per request and per chunk beside HAProxy and nginx'
	@echo 'make lint       include lattice, banned calls, tables against man pages, man pages'
	@echo 'make format     clang-format over all C files'
	@echo 'make deps       install the Debian packages that building and testing need'
	@echo 'make install    into $$DESTDIR$$PREFIX (PREFIX=$(PREFIX)); make uninstall takes it away again'
	@echo 'make clean'

# --- objects, archives, programs ---------------------------------------------------------------------------------------
$(B)/obj/%.o: %.c Makefile VERSION
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
TEST_EXT  := -lcmocka -levent_core -lcurl -ljson-c -lsystemd -lconfuse -lm -lpthread
# The objects of a program that decide and hold no main(): the unit tests of that folder (FOLDER_*.c) link them too.
PURE_OBJS := $(patsubst %.c,$(B)/obj/%.o,$(wildcard supervisor/life.c supervisor/state.c worker/life.c tools/tsactl/words.c))
pure_of    = $(foreach o,$(PURE_OBJS),$(if $(findstring /$(firstword $(subst _, ,$(1)))/,$(o)),$(o)))

.SECONDEXPANSION:
$(B)/unit/%: $(B)/obj/tests/unit/%.o $$(call pure_of,$$*) $(foreach l,$(TEST_LIBS),$(B)/lib$(l).a)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(TEST_EXT)
$(B)/race/%: $(B)/obj/tests/race/%.o $(foreach l,$(TEST_LIBS),$(B)/lib$(l).a)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(TEST_EXT)

.SECONDARY:
.PHONY: check race
check: $(if $(T),$(B)/unit/$(T),$(UNIT_BIN))
	@tests/run-unit $^
race: $(RACE_BIN)
	@tests/run-unit $^

.PHONY: format clean
format:
	clang-format -i $(wildcard $(addsuffix /*.[ch],$(LIBDIRS) supervisor worker router tools/* tests/*))
clean:
	rm -rf build

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
