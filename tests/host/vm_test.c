/*
 * Host test of the user half: random mapping, unmapping, protecting, moving, touching, forking and vforking, against a
 * model of what each page must hold; at the end every frame and every byte of heap is back.
 *
 * Build and run: tests/host/run (an argument of the program is another seed)
 */
#include <string.h>

#include "tests/host/vm_machine.h"

enum { WINDOW = 1200, OBJECTS = 3, OBJECT_PAGES = 40, ROUNDS = 60000, DEPTH = 4 };
#define BASE (USER_MMAP_TOP - WINDOW * PAGE_SIZE)

struct model_page {
    bool mapped, shared, own;
    unsigned protection;
    int object; /* -1: anonymous */
    unsigned object_page;
    uint64_t value; /* private: of the own copy */
};
struct model {
    struct model_page page[WINDOW];
};

static struct model models[DEPTH];
static struct process *stack[DEPTH];
static unsigned depth;
static struct memory_object *objects[OBJECTS];
static uint64_t object_value[OBJECTS][OBJECT_PAGES];
static uint64_t stamp;

static unsigned below(unsigned limit) { return (unsigned)rand() % limit; }
static vaddr_t address_of(unsigned page) { return BASE + page * PAGE_SIZE; }

static unsigned random_protection(void) {
    static const unsigned some[] = {0, VM_READ, VM_READ | VM_WRITE, VM_READ | VM_WRITE, VM_READ | VM_EXECUTE};
    return some[below(5)];
}

static void check_touch(struct model_page *page, vaddr_t address, bool write) {
    enum status status = OK;
    int code = 0;
    uint64_t *place = machine_touch(address + below(2) * 8, write, &status, &code);
    uint64_t *shared = page->object >= 0 ? &object_value[page->object][page->object_page] : NULL;
    bool beyond = page->object >= 0 && page->object_page >= OBJECT_PAGES;

    if (!page->mapped || !page->protection || (write && !(page->protection & VM_WRITE))) {
        CHECK(!place && status == ERR_FAULT && code == (page->mapped ? VM_NOT_ALLOWED : VM_NOT_MAPPED));
        return;
    }
    if (beyond) {
        CHECK(!place && status == ERR_IO);
        return;
    }
    if (!place && status == ERR_NO_MEMORY)
        return;
    CHECK(place);
    place = (uint64_t *)page_floor((uint64_t)place);
    CHECK(*place == (shared && !page->own ? *shared : page->value));
    if (write) {
        *place = ++stamp;
        if (page->shared)
            *shared = stamp;
        else
            page->own = true;
        page->value = stamp;
    }
}

static void set_pages(struct model *model, unsigned first, unsigned count, struct model_page page) {
    for (unsigned i = 0; i < count && first + i < WINDOW; i++, page.object_page++)
        model->page[first + i] = page;
}

static bool all_free(const struct model *model, unsigned first, unsigned count) {
    for (unsigned i = first; i < first + count; i++)
        if (model->page[i].mapped)
            return false;
    return true;
}

static void do_map(struct model *model) {
    unsigned count = 1 + below(24), first = below(WINDOW - count), offset = below(OBJECT_PAGES);
    struct vm_map_request request = {.bytes = count * PAGE_SIZE - below(4096),
                                     .protection = random_protection(),
                                     .fixed = below(4) != 0,
                                     .no_replace = below(4) == 0,
                                     .writable_file = true,
                                     .populate = below(8) == 0};
    int object = (int)below(OBJECTS + 2) - 2;
    vaddr_t place;
    enum status status;

    request.address = request.fixed ? address_of(first) : 0;
    if (object >= 0) {
        request.object = objects[object];
        request.offset = offset * PAGE_SIZE;
        request.shared = below(2);
        request.populate = request.populate && request.shared; /* a private page would be copied now: not modelled */
    }
    if (!request.fixed)
        machine_fail_after(0);
    status = vm_map(&request, &place);
    if (request.fixed && request.no_replace && !all_free(model, first, count)) {
        CHECK(status == ERR_EXISTS);
        return;
    }
    if (status == ERR_NO_MEMORY)
        return;
    CHECK(status == OK);
    if (!request.fixed) {
        if (place < BASE) { /* the window is full */
            CHECK(vm_unmap(place, count * PAGE_SIZE) == OK);
            return;
        }
        first = (unsigned)((place - BASE) / PAGE_SIZE);
        CHECK(all_free(model, first, count));
    }
    CHECK(place == address_of(first));
    set_pages(model, first, count,
              (struct model_page){.mapped = true,
                                  .shared = request.shared,
                                  .protection = request.protection,
                                  .object = object < 0 ? -1 : object,
                                  .object_page = offset});
}

static void do_unmap(struct model *model) {
    unsigned count = 1 + below(40), first = below(WINDOW - count);

    if (vm_unmap(address_of(first), count * PAGE_SIZE) == OK)
        set_pages(model, first, count, (struct model_page){.object = -1});
}

static void do_protect(struct model *model) {
    unsigned count = 1 + below(12), first = below(WINDOW - count), protection = random_protection();
    bool whole = true;
    enum status status = vm_protect(address_of(first), count * PAGE_SIZE, protection);

    for (unsigned i = 0; i < count; i++)
        whole = whole && model->page[first + i].mapped;
    CHECK(whole || status == ERR_NO_MEMORY);
    if (status != OK)
        return;
    for (unsigned i = 0; i < count; i++)
        model->page[first + i].protection = protection;
}

static void do_discard(struct model *model) {
    unsigned count = 1 + below(12), first = below(WINDOW - count);

    (void)!vm_discard(address_of(first), count * PAGE_SIZE, false);
    for (unsigned i = 0; i < count; i++) {
        model->page[first + i].own = false;
        model->page[first + i].value = 0;
    }
}

/* Whether the model's pages could be one area: mremap wants that. */
static void do_remap(struct model *model) {
    unsigned count = 1 + below(8), new_count = 1 + below(12), first = below(WINDOW - 16), to = below(WINDOW - 16);
    struct vm_remap_request request = {.address = address_of(first),
                                       .bytes = count * PAGE_SIZE,
                                       .new_bytes = new_count * PAGE_SIZE,
                                       .may_move = below(4) != 0,
                                       .fixed = false};
    struct model_page moved[16];
    vaddr_t place = address_of(to);
    enum status status;

    request.fixed = request.may_move && below(2);
    machine_fail_after(0);
    status = vm_remap(&request, &place);
    if (status != OK) {
        /* A fixed move may have unmapped its target already, as on Linux: look. */
        for (unsigned page = 0; page < WINDOW; page++)
            if (model->page[page].mapped && !vm_range_mapped(address_of(page), 1))
                model->page[page] = (struct model_page){.object = -1};
        return;
    }
    if (place < BASE) {
        CHECK(vm_unmap(place, new_count * PAGE_SIZE) == OK);
        set_pages(model, first, count, (struct model_page){.object = -1});
        return;
    }
    to = (unsigned)((place - BASE) / PAGE_SIZE);
    for (unsigned i = 0; i < new_count; i++) {
        struct model_page last = model->page[first + count - 1];

        moved[i] = i < count ? model->page[first + i] : last;
        if (i >= count) {
            moved[i].own = false;
            moved[i].value = 0;
            moved[i].object_page += i - count + 1;
        }
    }
    set_pages(model, first, count, (struct model_page){.object = -1});
    for (unsigned i = 0; i < new_count; i++)
        model->page[to + i] = moved[i];
}

static void do_object_io(void) {
    static char buffer[2 * PAGE_SIZE];
    unsigned object = below(OBJECTS), page = below(OBJECT_PAGES);
    uint64_t value = ++stamp, back = 0;
    size_t done;

    CHECK(object_write_kernel(objects[object], page * PAGE_SIZE, &value, 8) == OK);
    object_value[object][page] = value;
    CHECK(object_read_kernel(objects[object], page * PAGE_SIZE, &back, 8, &done) == OK && done == 8 && back == value);
    CHECK(object_read_kernel(objects[object], (OBJECT_PAGES - 1) * PAGE_SIZE + 5, buffer, sizeof(buffer), &done) == OK);
    CHECK(done == PAGE_SIZE - 5);
}

/* Through user memory: two pages at an odd place, faults on the way. */
static void do_user_io(struct model *model) {
    unsigned first = below(WINDOW - 3), object = below(OBJECTS), page = below(OBJECT_PAGES - 2);
    size_t done, in_page = below(8) * 8;
    machine_fail_after(0);
    enum status status =
        object_read(objects[object], page * PAGE_SIZE, address_of(first) + in_page, 2 * PAGE_SIZE, &done);
    struct model_page *touched = &model->page[first];
    unsigned pages = 0;

    while (pages < 3 && touched[pages].mapped && touched[pages].protection & VM_WRITE &&
           (touched[pages].object < 0 || touched[pages].object_page < OBJECT_PAGES))
        pages++;
    if (in_page == 0 && pages > 2)
        pages = 2;
    CHECK(done == (pages == 0                                    ? 0
                   : pages * PAGE_SIZE - in_page < 2 * PAGE_SIZE ? pages * PAGE_SIZE - in_page
                                                                 : 2 * PAGE_SIZE));
    CHECK((status == OK) == (done == 2 * PAGE_SIZE || done > 0) || status != OK);
    /* What landed where: read it back and take it for the truth. */
    for (unsigned i = 0; i < pages; i++) {
        int code;
        uint64_t *place = machine_touch(address_of(first + i), false, &status, &code);

        CHECK(place);
        touched[i].value = *place;
        if (touched[i].shared)
            object_value[touched[i].object][touched[i].object_page] = *place;
        else
            touched[i].own = true;
    }
}

static void do_fork(bool share) {
    struct process *child;

    if (depth + 1 == DEPTH)
        return;
    child = machine_fork(share);
    if (!child)
        return;
    models[depth + 1] = models[depth];
    depth++;
    stack[depth] = child;
    machine_switch(child);
}

static void do_exit(void) {
    bool share = stack[depth]->vfork_parent != NULL;

    if (depth == 0)
        return;
    machine_fail_after(0); /* without memory the parent is not told, and the model would be wrong */
    if (share) {
        vm_disown();
        models[depth - 1] = models[depth]; /* one address space all the time */
    } else {
        vm_destroy();
    }
    depth--;
    machine_end_process(stack[depth]);
    if (share)
        vm_rejoin();
}

static void one_step(void) {
    struct model *model = &models[depth];
    unsigned page = below(WINDOW);

    switch (below(32)) {
    case 0 ... 2:
        do_map(model);
        break;
    case 3:
        do_unmap(model);
        break;
    case 4 ... 5:
        do_protect(model);
        break;
    case 6:
        do_remap(model);
        break;
    case 7:
        do_object_io();
        break;
    case 8:
        if (below(4) == 0)
            do_discard(model);
        break;
    case 9:
        if (below(4) == 0)
            do_fork(below(2));
        break;
    case 10:
        if (below(4) == 0)
            do_exit();
        break;
    case 11:
        do_user_io(model);
        break;
    default:
        check_touch(&model->page[page], address_of(page), below(2));
    }
}

static void check_all(void) {
    for (unsigned page = 0; page < WINDOW; page++)
        check_touch(&models[depth].page[page], address_of(page), false);
}

static void check_truncation(void) {
    vaddr_t place;
    struct vm_map_request request = {
        .bytes = 8 * PAGE_SIZE, .protection = VM_READ | VM_WRITE, .shared = true, .writable_file = true};
    struct memory_object *object;
    enum status status;
    int code;
    uint64_t byte = ~0UL;
    size_t done;

    CHECK(object_create(&object) == OK);
    for (unsigned page = 0; page < 6; page++)
        CHECK(object_write_kernel(object, page * PAGE_SIZE + 4088, &byte, 8) == OK);
    request.object = object;
    CHECK(vm_map(&request, &place) == OK);
    for (unsigned page = 0; page < 8; page++)
        CHECK(!machine_touch(place + page * PAGE_SIZE, false, &status, &code) == (page >= 6));
    CHECK(object_resize(object, 2 * PAGE_SIZE + 10) == OK);
    CHECK(machine_touch(place + 2 * PAGE_SIZE, false, &status, &code));
    CHECK(!machine_touch(place + 3 * PAGE_SIZE, false, &status, &code) && status == ERR_IO);
    CHECK(object_resize(object, 6 * PAGE_SIZE) == OK);
    CHECK(object_read_kernel(object, 2 * PAGE_SIZE + 4088, &byte, 8, &done) == OK && done == 8 && byte == 0);
    CHECK(*machine_touch(place + 3 * PAGE_SIZE + 4088, false, &status, &code) == 0);
    CHECK(vm_unmap(place, 8 * PAGE_SIZE) == OK);
    object_unref(object);
}

static void check_break_and_stack(void) {
    struct vm_map_request request = {.address = USER_STACK_TOP - PAGE_SIZE,
                                     .bytes = PAGE_SIZE,
                                     .protection = VM_READ | VM_WRITE,
                                     .fixed = true,
                                     .grows_down = true};
    enum status status;
    vaddr_t place, heap = USER_START + 12345;
    int code;

    LOCAL->vm.heap_start = LOCAL->vm.heap_end = heap;
    CHECK(vm_break(0) == heap && vm_break(heap + 50000) == heap + 50000);
    *machine_touch(page_floor(heap + 50000), true, &status, &code) = 5;
    CHECK(vm_break(heap + 1000) == heap + 1000 && vm_break(heap + 60000) == heap + 60000);
    CHECK(*machine_touch(page_floor(heap + 50000), true, &status, &code) == 0);
    CHECK(vm_break(USER_END + 1) == heap + 60000 && vm_break(UINT64_MAX) == heap + 60000);
    CHECK(vm_break(heap) == heap);

    CHECK(vm_map(&request, &place) == OK && place == request.address);
    CHECK(machine_touch(USER_STACK_TOP - VM_STACK_LIMIT, true, &status, &code));
    CHECK(!machine_touch(USER_STACK_TOP - VM_STACK_LIMIT - 8, true, &status, &code) && code == VM_NOT_MAPPED);
    CHECK(vm_unmap(USER_STACK_TOP - VM_STACK_LIMIT, VM_STACK_LIMIT) == OK);
}

static void check_limits(void) {
    struct vm_map_request request = {.bytes = UINT64_MAX, .protection = VM_READ | VM_WRITE};
    vaddr_t place = UINT64_MAX & ~(PAGE_SIZE - 1);

    CHECK(vm_map(&request, &place) == ERR_NO_MEMORY);
    request.bytes = PAGE_SIZE;
    request.protection = VM_WRITE | VM_EXECUTE;
    CHECK(vm_map(&request, &place) == OK);
    process_current()->refuses_exec_gain = true;
    CHECK(vm_map(&request, &place) == ERR_ACCESS);
    CHECK(vm_protect(place, PAGE_SIZE, VM_READ) == OK);
    CHECK(vm_protect(place, PAGE_SIZE, VM_READ | VM_EXECUTE) == ERR_ACCESS);
    process_current()->refuses_exec_gain = false;
    CHECK(vm_unmap(place, PAGE_SIZE) == OK);
    request.protection = VM_READ;
    request.fixed = true;
    request.address = USER_END;
    CHECK(vm_map(&request, &place) == ERR_NO_MEMORY);
    request.address = UINT64_MAX & ~(PAGE_SIZE - 1);
    CHECK(vm_map(&request, &place) == ERR_NO_MEMORY);
    request.address = 0;
    CHECK(vm_map(&request, &place) == ERR_NOT_PERMITTED);
    CHECK(vm_unmap(UINT64_MAX & ~(PAGE_SIZE - 1), PAGE_SIZE) == ERR_INVALID && vm_unmap(0, UINT64_MAX) == ERR_INVALID);
    CHECK(vm_protect(UINT64_MAX & ~(PAGE_SIZE - 1), PAGE_SIZE, VM_READ) == ERR_NO_MEMORY);
    CHECK(vm_protect(0, UINT64_MAX, VM_READ) == ERR_NO_MEMORY && !vm_range_mapped(UINT64_MAX, UINT64_MAX));
}

int main(int count, char **arguments) {
    srand(count > 1 ? (unsigned)atoi(arguments[1]) : 1);
    machine_start();
    check_limits();
    check_truncation();
    check_break_and_stack();
    for (unsigned i = 0; i < OBJECTS; i++) {
        CHECK(object_create(&objects[i]) == OK);
        CHECK(object_resize(objects[i], OBJECT_PAGES * PAGE_SIZE) == OK);
    }
    stack[0] = process_current();
    for (unsigned page = 0; page < WINDOW; page++)
        models[0].page[page].object = -1;

    for (unsigned round = 0; round < ROUNDS; round++) {
        machine_fail_after(below(50) == 0 ? 1 + below(3) : 0);
        if (below(2))
            machine_fail_after(0);
        one_step();
        machine_fail_after(0);
        if (round % 500 == 0)
            check_all();
    }
    while (depth)
        do_exit();
    check_all();
    vm_destroy();
    for (unsigned i = 0; i < OBJECTS; i++)
        object_unref(objects[i]);
    machine_end_process(NULL);
    machine_check_all_free();
    printf("vm_test: %d random steps: passed\n", ROUNDS);
    return 0;
}
