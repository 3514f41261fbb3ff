# SPDX-License-Identifier: GPL-2.0-only
#
# What the suites' Makefiles share: set TEST_GEN_PROGS and the like, and then
# include this; OWN_SRCS are sources of the suite that all of its programs link,
# with what its own *.h declare. A suite lives outside a kernel tree and borrows the tree's
# lib.mk, so the caller says where the tree is and where the results go:
#
#   make -C kselftests/<suite> KSFT=<tree>/tools/testing/selftests \
#        top_srcdir=<tree> KHDR_INCLUDES="-isystem <headers>/include" \
#        OUTPUT=<dir> [all | install INSTALL_PATH=<dir> | emit_tests | clean]

ifeq ($(KSFT),)
$(error Set KSFT to the tools/testing/selftests of a kernel tree)
endif
ifeq ($(OUTPUT),)
$(error Set OUTPUT: nothing is built into the source folder)
endif

# Installed as suite:program lists, see emit_tests in lib.mk
COLLECTION ?= $(notdir $(CURDIR))

LIB := ../lib

# By the kernel's name, as scripts/subarch.include: those that lib/ has a guest for
ARCH ?= $(shell uname -m | sed -e s/x86_64/x86/ -e s/aarch64/arm64/ -e s/riscv64/riscv/)

# The guest's user land is busybox alone: nothing may need a shared library.
# Every program goes to a machine of its own, so none has symbols to carry
CFLAGS += -std=gnu11 -O2 -g -Wall -Wextra
# The harness leaves its locals to setjmp() as they are, its macros name
# parameters that a case need not use, and it compares what it is given
CFLAGS += -Wno-clobbered -Wno-unused-parameter -Wno-sign-compare
CFLAGS += -D_GNU_SOURCE= -pthread -I$(LIB) -I$(KSFT) $(KHDR_INCLUDES)
LDFLAGS += -static -pthread -s

LOCAL_HDRS := $(wildcard $(LIB)/*.h)

include $(KSFT)/lib.mk

# The guest's code, page tables and registers
LIB_ARCH := $(LIB)/$(ARCH)

LIB_SRCS := $(wildcard $(LIB)/*.c $(LIB_ARCH)/*.c $(LIB_ARCH)/*.S)
LIB_OBJS := $(patsubst $(LIB)/%,$(OUTPUT)/lib/%.o,$(LIB_SRCS))
OWN_HDRS := $(wildcard *.h)
OWN_OBJS := $(OWN_SRCS:%=$(OUTPUT)/own/%.o)
EXTRA_CLEAN += $(OUTPUT)/lib $(OUTPUT)/own

$(OUTPUT)/lib/%.o: $(LIB)/% $(LOCAL_HDRS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CPPFLAGS) -c $< -o $@

# A program links what it calls, and so stays the same bytes where the rest of
# lib/ changes: what is known of it, as toolkit mutate's kills, stays known
$(OUTPUT)/lib/lib.a: $(LIB_OBJS)
	@rm -f $@
	$(AR) rcsD $@ $^

$(OUTPUT)/own/%.o: % $(LOCAL_HDRS) $(OWN_HDRS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CPPFLAGS) -c $< -o $@

$(TEST_GEN_PROGS): $(OWN_OBJS) $(OUTPUT)/lib/lib.a | $(OWN_HDRS)
