# The tests of vmrt-net run it as a program, and find it beside themselves.
unit-build: $(BUILD)/vmrt-net

# What of it reads a guest's bytes is fuzzed by itself.
NET_A = $(BUILD)/libnet.a
$(NET_A): $(call objects,hooks/net/queries.c)

# Tests that have parts of it in themselves. In net_watch_test some fail when the test wants it.
NET_PARTS = $(filter-out %/main.o,$(call objects,$(NET_SRC)))
NET_PART_TESTS := $(addprefix $(BUILD)/test/unit/,net_kernel_test net_message_test net_watch_test)
$(NET_PART_TESTS:%=%.o): ALL_CFLAGS += -I/usr/include/libnl3
$(NET_PART_TESTS): $(NET_PARTS)
$(NET_PART_TESTS): ALL_A += $(NET_PARTS) -lnl-3
$(BUILD)/test/unit/net_watch_test: ALL_LDFLAGS += -Wl,--wrap=scan_take,--wrap=message_build
