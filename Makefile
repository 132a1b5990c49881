# Penumbra. `make help` says what there is to make.

BUILD ?= build

# What `make run` boots with; `make help` explains them.
FIRMWARE ?= bios
ACCEL    ?= tcg
SMP      ?= 1
MEM      ?= 256M
MODE     ?= asi
CMDLINE  ?=
PROG     ?=
ARGS     ?=
FLUSH    ?= auto
MODES    ?=
DEBUG    ?= 0

# V=1 shows each command whole, instead of a word and the file that it makes.
V   ?= 0
SAY  = @$(if $(filter 1,$(V)),,printf '  %-9s %s\n' $1 $2;) $(if $(filter 1,$(V)),set -x;)

# --- Tools: the bare x86_64-elf GCC where there is one (make toolchain), else Debian's, used freestanding. ------------
# TOOLCHAIN is where `make toolchain` puts it: not in BUILD, so that `make clean` leaves it alone.
TOOLCHAIN ?= toolchain
CROSS ?= $(or $(patsubst %gcc,%,$(wildcard $(abspath $(TOOLCHAIN))/bin/x86_64-elf-gcc)), \
              $(if $(shell command -v x86_64-elf-gcc),x86_64-elf-),x86_64-linux-gnu-)
CC      := $(CROSS)gcc
LD      := $(CROSS)ld
NM      := $(CROSS)nm
OBJCOPY := $(CROSS)objcopy
OBJDUMP := $(CROSS)objdump
AR      := $(CROSS)ar
NASM    := nasm
MUSL_CC := musl-gcc
FONT    := /usr/share/grub/ascii.pf2
CONSOLE_FONT := /usr/share/grub/unicode.pf2

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wundef \
            -Wvla -Wwrite-strings -Wcast-qual -Wpointer-arith -Wredundant-decls -Wnested-externs -Wlogical-op \
            -Wduplicated-cond -Wformat=2 -Wimplicit-fallthrough -Wdate-time
# -fno-delete-null-pointer-checks: `this_cpu` is address 0 in %gs, and GCC 12 without it drops stores there as dead.
GCC_INCLUDE := $(shell $(CC) -print-file-name=include 2>/dev/null)
CFLAGS   := -std=gnu17 -O2 -g -ffreestanding -nostdinc -isystem $(GCC_INCLUDE) -I. -ffile-prefix-map=$(CURDIR)=. \
            -mcmodel=kernel -mno-red-zone -mgeneral-regs-only -fno-pic -fno-omit-frame-pointer -fno-stack-protector \
            -fno-asynchronous-unwind-tables -fcf-protection=none -fno-common -fno-delete-null-pointer-checks $(WARNINGS)
ifeq ($(DEBUG),1)
CFLAGS   += -DDEBUG -fsanitize=undefined -fno-sanitize=null -fstack-protector-strong -mstack-protector-guard=global
endif
LDFLAGS  := -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none --no-warn-rwx-segments \
            --orphan-handling=error -L $(BUILD)/gen -T linker.ld
# One invariant broken by name (asi/mutant.h, tests/mutants): not among the flags that compile everything anew.
MUTANT_FLAGS := $(if $(MUTANT),-DMUTANT_$(MUTANT)=1)
NASMFLAGS := -f elf64 -g -F dwarf -Werror -I $(BUILD)/gen/ -I ./
USER_CFLAGS := -std=c17 -D_GNU_SOURCE -O2 -static -s -I. -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
               -Wmissing-prototypes

# --- Sources: every file in these directories. -----------------------------------------------------------------------
DIRECTORIES := boot kernel arch mm asi drivers
C_SOURCES   := $(filter-out arch/offsets.c,$(wildcard $(DIRECTORIES:=/*.c)))
ASM_SOURCES := $(wildcard $(DIRECTORIES:=/*.asm))
OBJECTS     := $(C_SOURCES:%.c=$(BUILD)/%.o) $(ASM_SOURCES:%.asm=$(BUILD)/%.asm.o) $(BUILD)/gen/font.o

# --- Programs: one for each file of user/ and tests/user/, with what it needs from user/lib/ and tests/user/lib/. -----
ROOT      := $(BUILD)/root
USER_LIB  := $(BUILD)/user/lib.a
DRIVER_LIB := $(BUILD)/drivers/lib.a
# Servers and drivers: a folder each, of user/ or drivers/, with all its C files. Linked against musl.
SERVER_DIRECTORIES := $(filter-out %/lib/ %/root/ user/bench/,$(wildcard user/*/ drivers/*/))
SERVERS   := $(notdir $(SERVER_DIRECTORIES:%/=%))
TEST_LIB  := $(BUILD)/tests/user/lib.a
PROGRAMS  := $(patsubst user/%.c,$(ROOT)/bin/%,$(wildcard user/*.c)) \
             $(SERVERS:%=$(ROOT)/sbin/%) \
             $(patsubst tests/user/%.c,$(ROOT)/tests/%,$(wildcard tests/user/*.c)) $(ROOT)/tests/fuzzer

KERNEL  := $(BUILD)/penumbra.elf
ARCHIVE := $(BUILD)/archive.cpio
ISO     := $(BUILD)/penumbra.iso

.PHONY: FORCE all run bench workloads test test-bochs check analyze mutants audit torture fuzz scale iso toolchain
.PHONY: clean help
.DELETE_ON_ERROR:
.SUFFIXES:

all: $(KERNEL) $(ARCHIVE)
	@:

help:
	@sed -n 's/^## \{0,1\}//p' Makefile

## make              the kernel ($BUILD/penumbra.elf) and the archive of programs
## make report       measures everything, and writes one page about what isolation costs: $BUILD/report.html
##                   FROM=build: from figures that are there  QUICK=1: a few
## make run          boot it in QEMU, by GRUB from an ISO image; installs what is missing on a Debian machine
##                   FIRMWARE=bios|uefi  ACCEL=tcg|kvm  SMP=1  MEM=256M  MODE=asi|naive|classic|none
##                   CMDLINE="…"  more words for the kernel's command line
##                   GUI=1  the console on the screen, with keyboard and a status line (VNC where there is no desktop)
##                   DISK=image  a raw disk image; IOMMU=1  devices reach memory through an IOMMU
##                   PROG=file ARGS="…"  run this static Linux program instead of the benchmark
## make trace        runs PROG=file ARGS="…" with every crossing, switch, call, fault, flush, view and message recorded,
##                   and writes $BUILD/trace.json for ui.perfetto.dev or chrome://tracing; without PROG: a small
##                   example. RECORDS=65536 for each CPU (docs/trace.md)
## make image-full   a disk image with Debian's bash, coreutils, fio, git, lua, make, sqlite, stress-ng, tcc, cyclictest
## make shell        make run with that disk and nothing but a prompt
## make bench        the benchmark with instructions for ticks, the same in every run
##                   FLUSH=auto|off|cost:IBPB,VERW,CR3  MODES=none,asi
## make lebench      the same with LEBench's operations and sizes, with the dear profile of prices (docs/benchmark.md)
## make test         every test; make check: only those that look at the sources
## make analyze      GCC's and, where it is installed, clang's static analyser on kernel and programs (tests/analyze)
## make test-bochs   tests that fit on Bochs, which has PCID and is stricter than QEMU; installs it
## make audit        the outside auditor: it must catch violations planted in RAM, then find none while benchmark and
##                   tests run; AUDITS=500  SEED=…  (tools/audit says more: any workload, the attack surface)
## make workloads    fio, a build, git status, sqlite, a shell script, dynamic programs in each mode, with three
##                   profiles of prices: into build/workloads.csv and README.md. Gets the programs from Debian
## make torture      everything at once on SMP=4 CPUs for T=60 seconds, with NMIs and audits from outside; SEED=…
## make fuzz         system calls, images, archives, programs, servers' answers at random; N=50000000 calls, SEED=…, and
##                   FUZZ_ARGS="one --words …" for a part of it (docs/fuzzing.md)
## make scale        the benchmark's rows with 1, 2 and 4 workers on SMP=4 CPUs
## make mutants      breaks each invariant on purpose and shows who catches it; MUTANTS="name…" for some of asi/mutant.h
## make demo         an attack by speculation, shown: in mode none it reads another's secrets, in mode asi nothing
##                   MODE=none,asi  PACE=0.5 (faster; 0: no pauses)  ACCEL=kvm (docs/demo.md)
## make lab N        a lab of docs/labs (1 to 8): prepares labs/N, then checks what you did there; RESET=1 begins anew
## make book         docs/ and the sources that it names as HTML: $BUILD/book/index.html (docs/nav, docs/figures.txt)
## make map          docs/map.html: both spaces of a process, drawn from a real machine's page tables, with a replay
## make iso          the ISO image; starts the benchmark, leaves a prompt
## make toolchain    build an x86_64-elf GCC from Debian's sources
## make clean        remove $BUILD (not the toolchain)
##
## BUILD=build, DEBUG=1 (asserts), CROSS=x86_64-elf-, TOOLCHAIN=toolchain choose where and how to build; V=1 shows it.

# --- Kernel. Two links: the first one's symbols become a table in the second. ----------------------------------------
$(BUILD)/%.o: %.c $(BUILD)/gen/flags
	@mkdir -p $(@D)
	$(call SAY,compile,$@) $(CC) $(CFLAGS) $(MUTANT_FLAGS) -MMD -MP -c $< -o $@

# Other flags than last time (DEBUG=1, CROSS=…) compile everything anew.
$(BUILD)/gen/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CFLAGS)' | cmp -s - $@ || echo '$(CC) $(CFLAGS)' > $@

# Code and data of boot/ go to sections .init.*, by which the linker script tells them from what stays.
$(BUILD)/boot/%.o: boot/%.c $(BUILD)/gen/flags
	@mkdir -p $(@D)
	$(call SAY,compile,$@) $(CC) $(CFLAGS) -MMD -MP -c $< -o $@
	@$(OBJCOPY) --prefix-alloc-sections=.init $@

$(BUILD)/%.asm.o: %.asm $(BUILD)/gen/offsets.inc
	@mkdir -p $(@D)
	$(call SAY,assemble,$@) $(NASM) $(NASMFLAGS) $(MUTANT_FLAGS) -MD $(@:.o=.d) $< -o $@

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c $(BUILD)/gen/flags
	$(call SAY,compile,$@) $(CC) $(CFLAGS) -MMD -MP -c $< -o $@

# Numbers of C for the assembler (%define NAME value), and those that the linker script needs, too.
$(BUILD)/gen/offsets.inc: arch/offsets.c $(BUILD)/gen/flags
	@mkdir -p $(@D)
	$(call SAY,generate,$@) $(CC) $(CFLAGS) -MMD -MP -MF $(BUILD)/gen/offsets.d -MT $@ -S $< -o $(BUILD)/gen/offsets.s
	@sed -n 's/^[[:space:]]*\(%define [A-Z0-9_]* \)\$$*\(-*[0-9].*\)/\1\2/p' $(BUILD)/gen/offsets.s > $@

$(BUILD)/gen/offsets.ld: $(BUILD)/gen/offsets.inc
	@sed -n 's/^%define \(IMAGE_BASE\) \(.*\)/\1 = \2;/p' $< > $@

# The vDSO runs in user mode, anywhere: flags of its own. Its image becomes constants of the kernel.
VDSO_FLAGS := -std=gnu17 -O2 -ffreestanding -nostdinc -isystem $(GCC_INCLUDE) -I. -fPIC -mgeneral-regs-only \
              -fno-stack-protector -fcf-protection=none -fasynchronous-unwind-tables $(WARNINGS)
$(BUILD)/gen/vdso.o: arch/vdso/vdso.c $(BUILD)/gen/flags
	@mkdir -p $(@D)
	$(call SAY,compile,$@) $(CC) $(VDSO_FLAGS) -MMD -MP -c $< -o $@

$(BUILD)/gen/vdso.so: $(BUILD)/gen/vdso.o arch/vdso/vdso.ld
	$(call SAY,link,$@) $(LD) -shared -s -nostdlib -soname linux-vdso.so.1 --hash-style=both --eh-frame-hdr -Bsymbolic \
	    -z max-page-size=4096 -z noexecstack --build-id=none --orphan-handling=error -T arch/vdso/vdso.ld $< -o $@

$(BUILD)/arch/vdso_image.asm.o: $(BUILD)/gen/vdso.so

$(BUILD)/gen/font.c: tools/mkfont $(wildcard $(FONT))
	@mkdir -p $(@D)
	$(call SAY,generate,$@) tools/mkfont $(FONT) > $@

$(BUILD)/gen/console_font.c: tools/mkfont $(wildcard $(CONSOLE_FONT))
	@mkdir -p $(@D)
	$(call SAY,generate,$@) tools/mkfont --console $(CONSOLE_FONT) > $@

$(BUILD)/gen/no_symbols.c: tools/ksyms
	@mkdir -p $(@D)
	$(call SAY,generate,$@) tools/ksyms > $@

# The branches that a trace redirects: read out of the linked text, so that no code has anything in it for a trace.
$(BUILD)/gen/no_trace_table.c: tools/tracepoints asi/trace_points.h
	@mkdir -p $(@D)
	$(call SAY,generate,$@) tools/tracepoints asi/trace_points.h > $@

FIRST_TABLES := $(BUILD)/gen/no_symbols.o $(BUILD)/gen/no_trace_table.o
$(BUILD)/first.elf: $(OBJECTS) $(FIRST_TABLES) $(BUILD)/gen/offsets.ld linker.ld
	$(call SAY,link,$@) $(LD) $(LDFLAGS) $(OBJECTS) $(FIRST_TABLES) -o $@

$(BUILD)/gen/symbols.c: $(BUILD)/first.elf tools/ksyms
	@$(NM) $< > $@.nm
	$(call SAY,generate,$@) tools/ksyms $@.nm > $@

$(BUILD)/gen/trace_table.c: $(BUILD)/first.elf tools/tracepoints asi/trace_points.h
	@$(OBJDUMP) -D -j .text $< > $@.text # -D: NASM calls labels data that stand before a db
	$(call SAY,generate,$@) tools/tracepoints asi/trace_points.h $@.text > $@

TABLES := $(BUILD)/gen/symbols.o $(BUILD)/gen/trace_table.o
$(KERNEL): $(TABLES) $(BUILD)/first.elf
	$(call SAY,link,$@) $(LD) $(LDFLAGS) $(OBJECTS) $(TABLES) -o $@
	@$(NM) $@ > $@.nm && tools/ksyms $@.nm | cmp - $(BUILD)/gen/symbols.c # the tables moved no function

# --- User space. -----------------------------------------------------------------------------------------------------
$(BUILD)/user/lib/%.o: user/lib/%.c
	@mkdir -p $(@D)
	$(call SAY,compile,$@) $(MUSL_CC) $(USER_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/tests/user/lib/%.o: tests/user/lib/%.c
	@mkdir -p $(@D)
	$(call SAY,compile,$@) $(MUSL_CC) $(USER_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/drivers/lib/%.o: drivers/lib/%.c
	@mkdir -p $(@D)
	$(call SAY,compile,$@) $(MUSL_CC) $(USER_CFLAGS) -MMD -MP -c $< -o $@

$(DRIVER_LIB): $(patsubst %.c,$(BUILD)/%.o,$(wildcard drivers/lib/*.c))
$(USER_LIB): $(patsubst %.c,$(BUILD)/%.o,$(wildcard user/lib/*.c))
$(TEST_LIB): $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/user/lib/*.c))
%/lib.a:
	@mkdir -p $(@D) && rm -f $@
	$(call SAY,archive,$@) $(AR) rcsD $@ $^

# Then what headers its sources need. The sources are named by the rules: one that moves away must not be asked for.
LINK_PROGRAM = $(call SAY,program,$@) mkdir -p $(@D) $(BUILD)/deps; \
               $(PROGRAM_CC) $(USER_CFLAGS) $(filter %.c %.a,$^) $(PROGRAM_LIBRARIES) -o $@ && \
               $(PROGRAM_CC) $(USER_CFLAGS) -MM -MP -MT $@ $(filter %.c,$^) | sed 's/[^ ]*\.c\b//g' \
               > $(BUILD)/deps/$(notdir $(@D))-$(@F).d
PROGRAM_CC = $(MUSL_CC)

$(ROOT)/bin/%: user/%.c $(USER_LIB)
	$(LINK_PROGRAM)

# Debian's libext2fs is made for glibc: so is what uses it, and what that needs of user/lib/ is compiled anew.
GLIBC_SERVERS := ext4
GLIBC_CC := $(if $(filter x86_64,$(shell uname -m)),gcc,x86_64-linux-gnu-gcc)
$(ROOT)/sbin/ext4: private PROGRAM_CC = $(GLIBC_CC)
$(ROOT)/sbin/ext4: private PROGRAM_LIBRARIES = -lext2fs -lcom_err -pthread
$(ROOT)/sbin/ext4: $(wildcard user/ext4/*.c) $(patsubst %,user/lib/%.c,mounts names native redo)
	$(LINK_PROGRAM)

define SERVER_RULE
$(ROOT)/sbin/$(notdir $(1:%/=%)): $(wildcard $(1)*.c) $(DRIVER_LIB) $(USER_LIB)
	$$(LINK_PROGRAM)
endef
$(ROOT)/sbin/console: $(BUILD)/gen/console_font.c
MUSL_SERVERS := $(filter-out $(GLIBC_SERVERS:%=user/%/),$(SERVER_DIRECTORIES))
$(foreach directory,$(MUSL_SERVERS),$(eval $(call SERVER_RULE,$(directory))))

$(ROOT)/tests/%: tests/user/%.c $(TEST_LIB) $(DRIVER_LIB) $(USER_LIB)
	$(LINK_PROGRAM)

$(ROOT)/tests/fuzzer: $(wildcard tests/fuzz/guest/*.c) $(TEST_LIB) $(DRIVER_LIB) $(USER_LIB)
	$(LINK_PROGRAM)

# Debian's static busybox with links for its applets; and files that are as they are in user/root.
export CACHE = $(BUILD)/packages
BUSYBOX := $(BUILD)/busybox
ARCHIVE_ROOTS := $(ROOT) $(BUSYBOX) user/root
$(BUSYBOX).made: tools/busybox tools/image
	@mkdir -p $(@D)
	$(call SAY,busybox,$(BUSYBOX)) tools/busybox $(BUSYBOX) && touch $@

$(ARCHIVE): $(PROGRAMS) $(BUSYBOX).made $(shell find user/root ! -type l) tools/mkarchive
	@mkdir -p $(ROOT) && find $(ROOT) -type f $(PROGRAMS:%=! -path %) -delete # what has no source any more
	$(call SAY,archive,$@) tools/mkarchive $@ $(ARCHIVE_ROOTS)

# --- Images. GRUB loads the kernel without its debug information, and faster. ----------------------------------------
$(BUILD)/penumbra.stripped: $(KERNEL)
	$(call SAY,strip,$@) $(OBJCOPY) --strip-all $< $@

$(ISO): $(BUILD)/penumbra.stripped $(ARCHIVE) tools/mkiso
	$(call SAY,image,$@) tools/mkiso $@ $(BUILD)/penumbra.stripped $(ARCHIVE) "run=bench prompt=1"

iso: $(ISO)
	@:

# A disk with Debian's programs as they are (docs/programs.md).
IMAGE_PACKAGES := busybox-static bash coreutils fio sqlite3 lua5.4 tcc libc6-dev make git stress-ng rt-tests
FULL_IMAGE := $(BUILD)/image-full.img
$(FULL_IMAGE): tools/image
	@mkdir -p $(@D)
	$(call SAY,image,$@) tools/image $@ $(IMAGE_PACKAGES)

.PHONY: image-full shell
image-full: $(FULL_IMAGE)
	@:

shell: image-full
	@$(MAKE) --no-print-directory run DISK=$(FULL_IMAGE) CMDLINE="run=shell $(CMDLINE)" \
	    MEM=$(if $(filter file,$(origin MEM)),512M,$(MEM))

# PROG= in an image of its own. ARGS is for the guest: make does not expand it ($$ for $ is understood all the same).
PROG_ROOT := $(BUILD)/prog
.PHONY: prog-archive prog-iso
prog-archive: export ARGS_AS_GIVEN = $(subst $$$$,$$,$(value ARGS))
prog-archive: $(ARCHIVE)
	@tools/mkprog $(PROG_ROOT) "$(PROG)" "$$ARGS_AS_GIVEN"
	$(call SAY,archive,$(PROG_ROOT).cpio) tools/mkarchive $(PROG_ROOT).cpio $(ARCHIVE_ROOTS) $(PROG_ROOT)
prog-iso: $(BUILD)/penumbra.stripped prog-archive
	$(call SAY,image,$(PROG_ROOT).iso) tools/mkiso $(PROG_ROOT).iso $(BUILD)/penumbra.stripped $(PROG_ROOT).cpio "run=prog"

# --- Running. On a terminal a prompt stays; otherwise the guest's exit status is the status of make. -----------------
export FIRMWARE ACCEL SMP MEM DISK IOMMU GUI TOOLCHAIN
# All processors build, unless make was told otherwise.
JOBS = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))
STATUS := $(BUILD)/run.status

# Make's own status is 2 for any failure: tools/exit_with.c adds a function that ends it with another.
ifneq ($(filter run,$(MAKECMDGOALS)),)
-load $(BUILD)/exit_with.so
$(BUILD)/exit_with.so: tools/exit_with.c
	@tools/setup && mkdir -p $(@D) && cc -shared -fPIC -O2 -Wall -Wextra $< -o $@
endif

run: guest
	$(exit-with $(file <$(STATUS)))
	@exit $$(cat $(STATUS))

.PHONY: guest boot
guest:
	@mkdir -p $(BUILD) && tools/setup $(if $(filter 1,$(GUI)),gui) && \
	    $(MAKE) --no-print-directory $(JOBS) boot || echo 2 > $(STATUS)

SET_INTERACTIVE = INTERACTIVE=0; [ -t 0 ] && [ -t 1 ] && INTERACTIVE=1; export INTERACTIVE CMDLINE
ifeq ($(PROG),)
boot: $(ISO)
	@$(SET_INTERACTIVE); CMDLINE="mode=$(MODE) prompt=$$INTERACTIVE $(CMDLINE)"; \
	tools/run --iso $(ISO); echo $$? > $(STATUS)
else
boot: prog-iso
	@$(SET_INTERACTIVE); CMDLINE="mode=$(MODE) $(CMDLINE)"; \
	tools/run --iso $(BUILD)/prog.iso; echo $$? > $(STATUS)
endif

# The program to trace is PROG, or asitrace, which is made for it (docs/trace.md).
RECORDS ?= 65536
.PHONY: trace
trace: override PROG := $(or $(PROG),$(ROOT)/bin/asitrace)
trace:
	@tools/setup
	@$(MAKE) --no-print-directory $(JOBS) all
	@$(MAKE) --no-print-directory prog-archive PROG="$(PROG)"
	@tools/trace $(BUILD) --archive=$(PROG_ROOT).cpio --records=$(RECORDS) \
	    --cmdline="run=prog mode=$(MODE) flush=$(FLUSH) $(CMDLINE)"

workloads:
	@tools/setup workloads
	@$(MAKE) --no-print-directory $(JOBS) all
	@tools/workloads --build=$(BUILD)

# The page about what isolation costs (docs/report.md).
.PHONY: report
report:
	@tools/setup
	@$(MAKE) --no-print-directory $(JOBS) all
	@BUILD=$(BUILD) tools/report $(if $(FROM),--from=$(FROM)) $(if $(QUICK),--quick)

# Both spaces of a process, drawn from a real machine's page tables: docs/map.html (docs/memory-map.md).
.PHONY: map
map:
	@tools/setup
	@$(MAKE) --no-print-directory $(JOBS) all
	@tools/map $(BUILD)

bench:
	@tools/setup
	@$(MAKE) --no-print-directory $(JOBS) all
	@CMDLINE="flush=$(FLUSH) $(if $(MODES),bench.modes=$(MODES)) $(CMDLINE)" tools/bench $(BUILD)

.PHONY: lebench
lebench: FLUSH = cost:4500,500,200
lebench:
	@tools/setup
	@$(MAKE) --no-print-directory $(JOBS) all
	@CMDLINE="flush=$(FLUSH) $(if $(MODES),lebench.modes=$(MODES)) $(CMDLINE)" tools/bench $(BUILD) lebench

# tests/run has tools/check among its tests.
CHECK_ENVIRONMENT = COMPILE="$(CC) $(CFLAGS)" COMPILE_USER="$(MUSL_CC) $(USER_CFLAGS)"
test:
	@tools/setup book
	@$(MAKE) --no-print-directory $(JOBS) all iso
	@$(CHECK_ENVIRONMENT) tests/run $(BUILD)

.PHONY: demo
demo: export ACCEL := $(if $(filter file,$(origin ACCEL)),auto,$(ACCEL))
demo:
	@tools/setup
	@$(MAKE) --no-print-directory $(JOBS) all
	@PACE=$(PACE) tools/demo $(BUILD) $(if $(filter file,$(origin MODE)),,--modes=$(MODE))

# make lab 3, or make lab N=3: the number is a goal, which does nothing.
.PHONY: lab
ifneq ($(filter lab,$(MAKECMDGOALS)),)
LAB := $(if $(filter command line environment,$(origin N)),$(N),$(filter 1 2 3 4 5 6 7 8,$(MAKECMDGOALS)))
.PHONY: 1 2 3 4 5 6 7 8
1 2 3 4 5 6 7 8:
	@:
endif
lab:
	@tools/setup
	@$(MAKE) --no-print-directory $(JOBS) all
	@BUILD=$(BUILD) tools/lab $(LAB) $(if $(filter 1,$(RESET)),--reset)

.PHONY: book
book:
	@tools/setup book
	@tools/book $(BUILD)

test-bochs:
	@tools/setup bochs
	@$(MAKE) --no-print-directory $(JOBS) all $(BUILD)/penumbra.stripped
	@tests/run $(BUILD) bochs

check:
	@tools/setup
	@$(CHECK_ENVIRONMENT) tools/check

analyze:
	@tools/setup
	@$(CHECK_ENVIRONMENT) tests/analyze/run $(BUILD) $(if $(shell command -v clang),--clang)

mutants:
	@tools/setup
	@$(MAKE) --no-print-directory $(JOBS) all
	@tests/mutants $(BUILD) $(MUTANTS)

audit: export MEM := $(if $(filter file,$(origin MEM)),128M,$(MEM))
audit:
	@tools/setup
	@$(MAKE) --no-print-directory $(JOBS) all
	@tools/audit $(BUILD) --selftest $(SEED:%=--seed %)
	@tools/audit $(BUILD) $(AUDITS:%=--audits %) $(SEED:%=--seed %)

# Four CPUs, unless the caller wants others.
torture scale: export SMP := $(if $(filter file,$(origin SMP)),4,$(SMP))
T ?= 60
torture:
	@tools/setup
	@$(MAKE) --no-print-directory $(JOBS) all
	@tools/torture $(BUILD) --seconds $(T) $(SEED:%=--seed %) $(TORTURE_ARGS)

N ?= 50000000
fuzz:
	@tools/setup
	@$(MAKE) --no-print-directory $(JOBS) all
	@tools/fuzz $(BUILD) --calls $(N) $(SEED:%=--seed %) $(FUZZ_ARGS)

scale:
	@tools/setup
	@$(MAKE) --no-print-directory $(JOBS) all
	@tools/scale $(BUILD)

toolchain:
	@tools/setup
	@tools/toolchain $(TOOLCHAIN)

clean:
	rm -rf $(BUILD)

DEPENDENCIES := deps/*-*.d user/lib/*.d drivers/lib/*.d tests/user/lib/*.d gen/offsets.d
-include $(OBJECTS:.o=.d) $(wildcard $(DEPENDENCIES:%=$(BUILD)/%))
