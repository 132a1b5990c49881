/*
 * Linux's rt_sigframe: what a handler finds on its stack, and the way back from it (rt_sigreturn).
 *
 * Everything that comes back is hostile: instruction and stack pointer must be user addresses, segments are forced,
 * flags masked, the FPU image sanitised (arch/fpu.h). User registers pass through this thread's stack and LOCAL memory
 * only. No lock: a thread changes its own frame and areas alone. Runs in either space; may sleep.
 */
#include "arch/cpu.h"
#include "arch/fpu.h"
#include "arch/selectors.h"
#include "arch/uaccess.h"
#include "kernel/local.h"
#include "kernel/posix_timer.h"
#include "kernel/signal_internal.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"

enum {
    RED_ZONE = 128, /* below the stack pointer, the program's (System V ABI) */
    FPU_LEGACY_BYTES = 512,
    FPU_SOFTWARE_OFFSET = 464, /* struct fpu_software lies in the legacy image's unused end */
    FPU_ALIGN = 64,
    FPU_MAGIC1 = 0x46505853,
    FPU_MAGIC2 = 0x46505845,
    FIRST_INTERRUPT = 32, /* vectors below it are exceptions */
    PAGE_FAULT = 14,
    PAGE_FAULT_PRESENT = 1, /* in its error code */
    UC_FP_XSTATE = 1,
    UC_SIGCONTEXT_SS = 2,
    UC_STRICT_RESTORE_SS = 4,
};

#define RFLAGS_IF        0x200UL
#define RFLAGS_RESERVED  0x2UL
#define RFLAGS_TRAP      0x100UL
#define RFLAGS_DIRECTION 0x400UL
#define RFLAGS_RESUME    0x10000UL
/* What a program may set: CF PF AF ZF SF TF DF OF RF AC. */
#define RFLAGS_USER 0x50dd5UL

struct user_context {
    uint64_t flags, link;
    struct user_stack stack;
    /* struct sigcontext */
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
    uint16_t cs, gs, fs, ss;
    uint64_t error, vector, old_mask, cr2, fpu_state, reserved[8];
    /* end of it */
    uint64_t mask;
};
_Static_assert(sizeof(struct user_context) == 304, "ucontext_t as far as the kernel fills it");

struct signal_frame {
    uint64_t return_address; /* the restorer */
    struct user_context context;
    struct signal_info info;
};
_Static_assert(sizeof(struct signal_frame) == 440, "rt_sigframe");

struct fpu_software {
    uint32_t magic1, extended_size;
    uint64_t features;
    uint32_t state_size, padding[7];
};
_Static_assert(sizeof(struct fpu_software) == 48, "_fpx_sw_bytes");

bool signal_on_alternate_stack(uint64_t rsp) {
    const struct thread_local *local = thread_current()->local;

    if (local->alternate_stack_flags & SS_AUTODISARM)
        return false;
    return rsp > local->alternate_stack && rsp - local->alternate_stack <= local->alternate_stack_size;
}

/* Where the frame may begin to grow down from. */
static uint64_t stack_for(const struct trap_frame *frame, const struct signal_action *action) {
    const struct thread_local *local = thread_current()->local;

    if ((action->flags & SA_ONSTACK) && local->alternate_stack_size != 0 && !signal_on_alternate_stack(frame->rsp))
        return local->alternate_stack + local->alternate_stack_size;
    return frame->rsp - RED_ZONE;
}

/* The image on the user stack is the XSAVE area, described in its own unused bytes, and a magic word behind it. */
static enum status push_fpu(vaddr_t to) {
    const struct thread_local *local = thread_current()->local;
    size_t size = fpu_area_size();
    uint32_t magic2 = FPU_MAGIC2;
    struct fpu_software software = {0};
    enum status status;

    if (fpu_features() != 0) {
        software = (struct fpu_software){.magic1 = FPU_MAGIC1,
                                         .extended_size = (uint32_t)(size + sizeof(magic2)),
                                         .features = fpu_features(),
                                         .state_size = (uint32_t)size};
    }
    fpu_save(local->fpu);
    if ((status = copy_to_user(to, local->fpu, size)) != OK ||
        (status = copy_to_user(to + FPU_SOFTWARE_OFFSET, &software, sizeof(software))) != OK)
        return status;
    return copy_to_user(to + size, &magic2, sizeof(magic2));
}

static void fill_context(struct user_context *context, const struct trap_frame *frame,
                         const struct signal_delivery *delivery, uint64_t fpu_state, uint64_t mask) {
    const struct thread_local *local = thread_current()->local;
    bool from_fault = delivery->fault && frame_vector(frame) < FIRST_INTERRUPT;
    uint64_t error = from_fault ? frame->error : 0;

    /* Whether there is anything at an address of the kernel's is not told, and differs between modes (SAME). */
    if (from_fault && frame_vector(frame) == PAGE_FAULT && local->fault_address >= USER_END)
        error |= PAGE_FAULT_PRESENT;
    *context = (struct user_context){
        .flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | (fpu_features() != 0 ? UC_FP_XSTATE : 0),
        .stack = {.base = local->alternate_stack,
                  .flags = local->alternate_stack_size == 0        ? SS_DISABLE
                           : signal_on_alternate_stack(frame->rsp) ? SS_ONSTACK
                                                                   : 0,
                  .size = local->alternate_stack_size},
        .r8 = frame->r8,
        .r9 = frame->r9,
        .r10 = frame->r10,
        .r11 = frame->r11,
        .r12 = frame->r12,
        .r13 = frame->r13,
        .r14 = frame->r14,
        .r15 = frame->r15,
        .rdi = frame->rdi,
        .rsi = frame->rsi,
        .rbp = frame->rbp,
        .rbx = frame->rbx,
        .rdx = frame->rdx,
        .rax = frame->rax,
        .rcx = frame->rcx,
        .rsp = frame->rsp,
        .rip = frame->rip,
        .rflags = frame->rflags,
        .cs = USER_CS,
        .ss = USER_DS,
        .error = error,
        .vector = from_fault ? frame_vector(frame) : 0,
        .old_mask = mask,
        .cr2 = local->fault_address,
        .fpu_state = fpu_state,
        .mask = mask,
    };
    context->stack.flags |= local->alternate_stack_flags & SS_AUTODISARM;
}

void signal_info_fill(struct signal_info *info, const struct signal_delivery *delivery) {
    if (delivery->has_info) {
        *info = delivery->info;
        info->number = delivery->number;
        return;
    }
    *info = (struct signal_info){.number = delivery->number, .code = delivery->origin.code};
    if (delivery->fault) {
        info->fault_address = delivery->fault_address;
    } else {
        info->sender.pid = (int32_t)delivery->origin.pid;
        info->sender.uid = delivery->origin.uid;
        info->sender.status = delivery->origin.status;
        if (delivery->origin.code == SI_TIMER)
            info->queued.value = posix_timer_value(delivery->origin.pid);
    }
}

static void enter_handler(struct trap_frame *frame, const struct signal_action *action, int number, vaddr_t at) {
    frame->rip = action->handler;
    frame->rsp = at;
    frame->rdi = (uint64_t)number;
    frame->rsi = at + offsetof(struct signal_frame, info);
    frame->rdx = at + offsetof(struct signal_frame, context);
    frame->rax = 0; /* no vector registers hold arguments */
    frame->cs = USER_CS;
    frame->ss = USER_DS;
    frame->rflags &= ~(RFLAGS_TRAP | RFLAGS_DIRECTION | RFLAGS_RESUME);
}

enum status signal_frame_push(struct trap_frame *frame, const struct signal_action *action,
                              const struct signal_delivery *delivery, uint64_t mask) {
    struct thread_local *local = thread_current()->local;
    struct signal_frame image;
    uint64_t top = stack_for(frame, action);
    enum status status;

    if (!(action->flags & SA_RESTORER) || action->handler >= USER_END || top >= USER_END ||
        top < fpu_area_size() + sizeof(image) + PAGE_SIZE)
        return ERR_FAULT;
    uint64_t fpu_state = (top - fpu_area_size() - sizeof(uint32_t)) & ~(uint64_t)(FPU_ALIGN - 1);
    /* As after a call: 8 below a multiple of 16. */
    uint64_t at = ((fpu_state - sizeof(image)) & ~15UL) - 8;
    if (signal_on_alternate_stack(frame->rsp) && at <= local->alternate_stack)
        return ERR_FAULT;

    fill_context(&image.context, frame, delivery, fpu_state, mask);
    signal_info_fill(&image.info, delivery);
    image.return_address = action->restorer;
    if ((status = push_fpu(fpu_state)) != OK || (status = copy_to_user(at, &image, sizeof(image))) != OK)
        return status;

    fpu_reset(local->fpu);
    fpu_restore(local->fpu);
    if (local->alternate_stack_flags & SS_AUTODISARM) {
        local->alternate_stack = local->alternate_stack_size = 0;
        local->alternate_stack_flags = SS_DISABLE;
    }
    enter_handler(frame, action, delivery->number, at);
    return OK;
}

/*
 * Loads the FPU from an image at `from` (0: the initial state). The image is read into a buffer first, because reading
 * may sleep, which saves the registers into the thread's own area.
 */
static enum status load_fpu(vaddr_t from) {
    struct thread_local *local = thread_current()->local;
    size_t size = fpu_area_size(), present = FPU_LEGACY_BYTES;
    struct fpu_software software;
    enum status status = OK;

    if (from == 0) {
        fpu_reset(local->fpu);
        fpu_restore(local->fpu);
        return OK;
    }
    uint8_t *image = local_alloc(size);
    if (image == NULL)
        return ERR_NO_MEMORY;
    if ((status = copy_from_user(&software, from + FPU_SOFTWARE_OFFSET, sizeof(software))) != OK)
        goto out;
    if (software.magic1 == FPU_MAGIC1 && software.state_size == size)
        present = size;
    if ((status = copy_from_user(image, from, present)) != OK)
        goto out;
    /* From here to the restore nothing sleeps. */
    fpu_reset(local->fpu);
    memcpy(local->fpu, image, present);
    if (present == FPU_LEGACY_BYTES && size > FPU_LEGACY_BYTES)
        *(uint64_t *)((uint8_t *)local->fpu + FPU_LEGACY_BYTES) = 3; /* XSTATE_BV: x87 and SSE are in the image */
    if ((status = fpu_area_check(local->fpu)) != OK)
        fpu_reset(local->fpu);
    fpu_restore(local->fpu);
out:
    local_free(image, size);
    return status;
}

static void load_registers(struct trap_frame *frame, const struct user_context *context) {
    *frame = (struct trap_frame){
        .r8 = context->r8,
        .r9 = context->r9,
        .r10 = context->r10,
        .r11 = context->r11,
        .r12 = context->r12,
        .r13 = context->r13,
        .r14 = context->r14,
        .r15 = context->r15,
        .rdi = context->rdi,
        .rsi = context->rsi,
        .rbp = context->rbp,
        .rbx = context->rbx,
        .rdx = context->rdx,
        .rax = context->rax,
        .rcx = context->rcx,
        .rsp = context->rsp,
        .rip = context->rip,
        .rflags = (context->rflags & RFLAGS_USER) | RFLAGS_IF | RFLAGS_RESERVED,
        .cs = USER_CS,
        .ss = USER_DS,
        .vector = 0, /* not a system call's: every register counts, and nothing is restarted */
    };
}

/* sigaltstack as it was when the handler began, unless the program is still on it. `rsp`: where it goes on. */
static void restore_alternate_stack(const struct user_stack *stack, uint64_t rsp) {
    struct thread_local *local = thread_current()->local;

    if (signal_on_alternate_stack(rsp))
        return;
    if (stack->flags & SS_DISABLE) {
        local->alternate_stack = local->alternate_stack_size = 0;
        local->alternate_stack_flags = SS_DISABLE;
    } else if (user_range_ok(stack->base, stack->size) && stack->size >= MINSIGSTKSZ) {
        local->alternate_stack = stack->base;
        local->alternate_stack_size = stack->size;
        local->alternate_stack_flags = stack->flags & SS_AUTODISARM;
    }
}

enum status sys_rt_sigreturn(struct syscall *call) {
    struct trap_frame *frame = call->frame;
    struct user_context context;
    /* The handler's return has popped the first word. */
    vaddr_t at = frame->rsp - sizeof(uint64_t) + offsetof(struct signal_frame, context);

    if (copy_from_user(&context, at, sizeof(context)) != OK || context.rip >= USER_END || context.rsp >= USER_END ||
        load_fpu(context.fpu_state) != OK) {
        frame->vector = 0;
        signal_fault(SIGSEGV, SI_KERNEL, 0);
        return OK;
    }
    load_registers(frame, &context);
    restore_alternate_stack(&context.stack, context.rsp);
    signal_mask_set(context.mask);
    call->result = (int64_t)frame->rax; /* which the dispatcher stores back */
    return OK;
}
