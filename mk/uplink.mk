# vmrt-uplink shares vmrt-net's netlink code.
UPLINK     := $(BUILD)/vmrt-uplink
UPLINK_SRC := $(wildcard hooks/uplink/*.c)
UPLINK_NET := hooks/net/kernel.c hooks/net/tc.c hooks/net/sysctl.c

$(UPLINK): $(call objects,$(UPLINK_SRC) $(UPLINK_NET)) $(LIB_A)
	$(call link,-lnl-3 -lpthread)
$(call objects,$(UPLINK_SRC)): ALL_CFLAGS += -I/usr/include/libnl3
$(call objects,$(UPLINK_SRC)): | $(BUILD)/include/build.h
all: $(UPLINK)

# Where the tests' vmrt looks for it, and what they look into.
$(BUILD)/test/unit/vmrt-uplink: $(UPLINK)
	@mkdir -p $(@D)
	@ln -sfn "$(abspath $<)" $@
unit-build: $(BUILD)/test/unit/vmrt-uplink
UPLINK_TEST := $(BUILD)/test/unit/uplink_test
$(UPLINK_TEST): $(BUILD)/test/unit/vmrt-uplink $(BUILD)/hooks/uplink/subnet.o
$(UPLINK_TEST): ALL_A += $(BUILD)/hooks/uplink/subnet.o
