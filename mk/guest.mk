# The bare-metal guest that tests the machine from inside: one program, a PVH "kernel".
GUEST         := $(BUILD)/guest/payload
GUEST_OBJECTS := $(patsubst test/guest/%,$(BUILD)/guest/%.o,$(wildcard test/guest/*.c test/guest/*.S))
GUEST_CFLAGS   = -std=gnu17 -O2 $(WARNINGS) -ffreestanding -fno-pie -fno-stack-protector \
                 -fno-asynchronous-unwind-tables -fcf-protection=none -mcmodel=small -mno-red-zone \
                 -mgeneral-regs-only -I. -MMD -MP

$(BUILD)/guest/%.o: test/guest/%
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(GUEST_CFLAGS) -c -o $@ $<
$(GUEST): $(GUEST_OBJECTS) test/guest/payload.ld
	@echo "  LINK  $@"
	@$(CC) -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments \
	  -T test/guest/payload.ld -o $@ $(GUEST_OBJECTS)

# The tests that run it find it, and the VMM, beside themselves.
unit-build: $(GUEST) $(BUILD)/vmrt-vmm
