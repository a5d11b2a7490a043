# The tests of vmrt-net run it as a program, and find it beside themselves.
unit-build: $(BUILD)/vmrt-net

# What of it reads a guest's bytes is fuzzed by itself.
NET_A = $(BUILD)/libnet.a
$(NET_A): $(call objects,hooks/net/queries.c)
