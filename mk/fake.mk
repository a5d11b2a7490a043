# A stand-in for vmrt-vmm beside the unit tests, where the runtime looks for it first. Static and
# without sanitizers: it is executed in a root filesystem that has no libraries.
FAKE = $(BUILD)/test/unit/vmrt-vmm
FAKE_SRC = test/unit/fake_vmm.c runtime/vmm/plan.c runtime/lib/error.c runtime/lib/fd.c runtime/lib/json.c \
           runtime/lib/text.c
$(FAKE): $(FAKE_SRC) runtime/vmm/plan.h runtime/vmm/control.h init/protocol.h
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) -std=gnu17 -O1 -g $(WARNINGS) $(DEFINES) -Iruntime -I. -static -o $@ $(FAKE_SRC) -lyajl_s
	@cp $@ $(@D)/vmrt-init
$(BUILD)/test/unit/oci_lifecycle_test $(BUILD)/test/unit/config_create_test: | $(FAKE)

# The program itself beside the stand-in, for tests that call it as engines do.
$(BUILD)/test/unit/vmrt: $(BUILD)/vmrt | $(FAKE)
	@cp $< $@
$(BUILD)/test/unit/vmrt-net: $(BUILD)/vmrt-net | $(FAKE)
	@cp $< $@
unit-build: $(BUILD)/test/unit/vmrt $(BUILD)/test/unit/vmrt-net
