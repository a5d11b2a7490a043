# vmrt-scope talks to systemd. libsystemd has no static library: the one program that needs the
# host's own.
SCOPE     := $(BUILD)/vmrt-scope
SCOPE_SRC := $(wildcard runtime/scope/*.c)

$(SCOPE): $(call objects,$(SCOPE_SRC)) $(LIB_A)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) -lsystemd
all: $(SCOPE)

# Where the tests' vmrt looks for it.
$(BUILD)/test/unit/vmrt-scope: $(SCOPE)
	@mkdir -p $(@D)
	@ln -sfn "$(abspath $<)" $@
unit-build: $(BUILD)/test/unit/vmrt-scope

# Its test plays systemd.
$(BUILD)/test/unit/cli_scope_test: ALL_LDFLAGS += -Wl,--no-as-needed -lsystemd
