# Tests: each suite prints TAP, test/run adds them up.
UNIT_SRC   := $(wildcard test/unit/*_test.c)
UNIT_TESTS := $(patsubst test/unit/%.c,$(BUILD)/test/unit/%,$(UNIT_SRC))
FUZZ_SRC   := $(wildcard test/fuzz/*.c)
FUZZERS    := $(patsubst test/fuzz/%.c,$(BUILD)/test/fuzz/%,$(FUZZ_SRC))
# A minute for each surface where time is not somebody's: CI and `make fuzz`.
FUZZ_SECONDS ?= 60

ALL_A = $(OCI_A) $(VMM_A) $(INIT_A) $(NET_A) $(LIB_A)

# Dynamic, so that the sanitizers work; symbols of archives are taken as each test needs them.
$(BUILD)/test/unit/%: $(BUILD)/test/unit/%.o $(ALL_A)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $< -Wl,--start-group $(ALL_A) -Wl,--end-group \
	  -lcmocka -lseccomp -lcap-ng -lyajl -lpthread
$(BUILD)/test/fuzz/%: $(BUILD)/test/fuzz/%.o $(ALL_A)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -fsanitize=fuzzer,address,undefined -o $@ $< \
	  -Wl,--start-group $(ALL_A) -Wl,--end-group -lseccomp -lcap-ng -lyajl -lpthread
.SECONDARY: $(UNIT_TESTS:%=%.o) $(FUZZERS:%=%.o)

.PHONY: unit-build unit-build-asan unit fuzz-build fuzz fuzz-build-all lint e2e bench bench-net bench-memory test
unit-build: $(UNIT_TESTS)
unit-build-asan:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan SANITIZE=1 CFLAGS="-O1 -g" unit-build
unit: all unit-build unit-build-asan
	@test/run unit

fuzz-build-all: $(FUZZERS)
fuzz-build:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=clang SANITIZE=1 \
	  CFLAGS="-O1 -g -fsanitize=fuzzer-no-link -Wno-unknown-warning-option" fuzz-build-all
fuzz: fuzz-build
	@FUZZ_SECONDS=$(FUZZ_SECONDS) test/run fuzz

lint:
	@test/run lint

e2e: all kernel
	@test/run e2e

bench: all kernel
	@test/bench/run startup
bench-net: all kernel
	@test/bench/run net
bench-memory: all kernel
	@test/bench/run memory

test:
	@test/run all
