# vmrt: see `make help`. No configure step; every knob is a variable on the command line.
#
#   PREFIX   where things are installed (/usr/local)       DESTDIR  staging directory
#   BUILD    where objects go (build)                      SANITIZE 1: ASan + UBSan, not static
PREFIX  ?= /usr/local
DESTDIR ?=
BUILD   ?= build
CC      ?= gcc

BINDIR      = $(PREFIX)/bin
LIBEXECDIR  = $(PREFIX)/libexec/vmrt
LIBDIR      = $(PREFIX)/lib/vmrt
MANDIR      = $(PREFIX)/share/man/man8

VERSION := $(shell sed -n 's/^VERSION=//p' config/version)
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

WARNINGS = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 \
           -Wswitch-default -Wpointer-arith -Wwrite-strings -Wundef -Wold-style-definition \
           -Wno-unused-parameter
DEFINES  = -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64
CFLAGS  ?= -O2 -g
ALL_CFLAGS = -std=gnu17 $(CFLAGS) $(WARNINGS) $(DEFINES) -Iruntime -I. -I$(BUILD)/include \
             -fno-strict-aliasing -ffunction-sections -fdata-sections -MMD -MP
LDFLAGS ?= -Wl,--gc-sections
ifeq ($(SANITIZE),1)
ALL_CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
ALL_LDFLAGS = $(LDFLAGS) -fsanitize=address,undefined
STATIC      =
else
ALL_CFLAGS += -fstack-protector-strong
ALL_LDFLAGS = $(LDFLAGS)
STATIC      = -static
endif

LIB_SRC  := $(wildcard runtime/lib/*.c)
OCI_SRC  := $(wildcard runtime/commands/*.c runtime/oci/*.c)
VMM_SRC  := $(filter-out runtime/vmm/main.c,$(wildcard runtime/vmm/*.c runtime/vmm/x86/*.c \
              runtime/vmm/virtio/*.c runtime/vmm/virtio/fs/*.c))
INIT_SRC := $(filter-out init/main.c,$(wildcard init/*.c))
NET_SRC  := $(wildcard hooks/net/*.c)

objects = $(patsubst %.c,$(BUILD)/%.o,$(1))
OCI_A  = $(BUILD)/liboci.a
VMM_A  = $(BUILD)/libvmm.a
INIT_A = $(BUILD)/libinit.a
LIB_A  = $(BUILD)/liblib.a

PROGRAMS = $(BUILD)/vmrt $(BUILD)/vmrt-vmm $(BUILD)/vmrt-init $(BUILD)/vmrt-net

.PHONY: all
all: $(PROGRAMS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(LIB_A):  $(call objects,$(LIB_SRC))
$(OCI_A):  $(call objects,$(OCI_SRC))
$(VMM_A):  $(call objects,$(VMM_SRC))
$(INIT_A): $(call objects,$(INIT_SRC))
$(BUILD)/%.a:
	@rm -f $@ && ar rcs $@ $^

link = @echo "  LINK  $@" && $(CC) $(ALL_LDFLAGS) $(STATIC) -o $@ $(filter %.o %.a,$^) $(1)

$(BUILD)/vmrt: $(call objects,runtime/main.c) $(OCI_A) $(call objects,runtime/vmm/plan.c) $(LIB_A)
	$(call link,-lseccomp -lcap-ng -lyajl$(if $(STATIC),_s))
$(BUILD)/vmrt-vmm: $(call objects,runtime/vmm/main.c) $(VMM_A) $(LIB_A)
	$(call link,-lcap-ng -lyajl$(if $(STATIC),_s) -lpthread)
$(BUILD)/vmrt-init: $(call objects,init/main.c) $(INIT_A)
	$(call link,-s)
$(BUILD)/vmrt-net: $(call objects,$(NET_SRC)) $(LIB_A)
	$(call link,-lnl-3 -lcap-ng -lpthread)
$(call objects,$(NET_SRC)): ALL_CFLAGS += -I/usr/include/libnl3

# The system call filters, made at build time on the build machine.
$(BUILD)/sandbox-generate: runtime/vmm/generate/sandbox.c runtime/vmm/sandbox_rules.h \
                           runtime/vmm/virtio/fs/syscalls.h runtime/vmm/virtio/net_syscalls.h \
                           hooks/net/queries_syscalls.h
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) -std=gnu17 -O1 -D_GNU_SOURCE -Iruntime -I. -o $@ $< -lseccomp
$(BUILD)/include/sandbox_filters.h: $(BUILD)/sandbox-generate
	@mkdir -p $(@D)
	@$< main vcpu fs net > $@.tmp && mv $@.tmp $@
$(BUILD)/include/resolver_filter.h: $(BUILD)/sandbox-generate
	@mkdir -p $(@D)
	@$< resolver > $@.tmp && mv $@.tmp $@
$(BUILD)/hooks/net/resolver.o: $(BUILD)/include/resolver_filter.h
$(BUILD)/runtime/vmm/sandbox.o: $(BUILD)/include/sandbox_filters.h

# Where the programs look for each other and for the kernel, and what --version says.
$(BUILD)/include/build.h: Makefile config/version FORCE
	@mkdir -p $(@D)
	@printf '#define BUILD_VERSION "%s"\n#define BUILD_COMMIT "%s"\n#define BUILD_LIBEXECDIR "%s"\n#define BUILD_KERNEL "%s"\n' \
	  '$(VERSION)' '$(COMMIT)' '$(LIBEXECDIR)' '$(LIBDIR)/vmlinux' > $@.tmp
	@cmp -s $@.tmp $@ && rm $@.tmp || mv $@.tmp $@
$(call objects,runtime/main.c $(OCI_SRC) $(LIB_SRC) $(VMM_SRC) runtime/vmm/main.c $(NET_SRC)): | $(BUILD)/include/build.h
FORCE:
.PHONY: FORCE

include $(wildcard mk/*.mk)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
