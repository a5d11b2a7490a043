# Installing, the guest kernel, and what people run first.
KERNEL = $(BUILD)/vmlinux

# Built once per content of config/kernel and kept in the cache; the link makes it a make target.
.PHONY: kernel
kernel:
	@mkdir -p $(BUILD)
	@ln -sfn "$$(config/kernel/build | tail -n 1)" $(KERNEL)
	@echo "kernel: $$(readlink $(KERNEL))"

.PHONY: install
install: all kernel
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(LIBDIR) $(DESTDIR)$(MANDIR)
	install -m 755 $(BUILD)/vmrt $(DESTDIR)$(BINDIR)/vmrt
	install -m 755 $(BUILD)/vmrt-vmm $(BUILD)/vmrt-init $(BUILD)/vmrt-net $(BUILD)/vmrt-scope \
	  $(UPLINK) \
	  $(DESTDIR)$(LIBEXECDIR)/
	install -m 644 $(KERNEL) $(DESTDIR)$(LIBDIR)/vmlinux
	@for page in docs/man/*.8; do \
	  if [ -e "$$page" ]; then install -m 644 "$$page" $(DESTDIR)$(MANDIR)/; fi; done

.PHONY: uninstall
uninstall:
	rm -f $(DESTDIR)$(BINDIR)/vmrt $(DESTDIR)$(MANDIR)/vmrt.8 $(DESTDIR)$(MANDIR)/vmrt-vmm.8
	rm -rf $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(LIBDIR)

.PHONY: demo
demo:
	./install.sh --demo

.PHONY: clean
clean:
	rm -rf $(BUILD)

.PHONY: help
help:
	@echo "make            build vmrt, vmrt-vmm, vmrt-init and vmrt-net into $(BUILD)/"
	@echo "make kernel     build the guest kernel (cached by content), or find it in the cache"
	@echo "make install    install programs, guest kernel and man pages (PREFIX, DESTDIR)"
	@echo "make uninstall  remove them again"
	@echo "make demo       ./install.sh --demo: set this machine up and run a container"
	@echo "make test       everything below; installs what it needs (as root)"
	@echo "make unit       unit tests, plain and with ASan + UBSan"
	@echo "make fuzz       fuzz every surface for FUZZ_SECONDS (60) each"
	@echo "make lint       formatting, cppcheck, clang-tidy, shellcheck"
	@echo "make e2e        end-to-end tests with real guests, in the lab"
	@echo "make bench      start-up times against runc, crun and QEMU, in one lab run;"
	@echo "                bench-net: networks; bench-memory: host memory beside the guest's"
	@echo "make clean      remove $(BUILD)/"
