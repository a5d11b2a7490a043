# The tests of vmrt-net run it as a program, and find it beside themselves.
unit-build: $(BUILD)/vmrt-net
