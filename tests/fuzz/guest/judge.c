/*
 * What must hold after a round: processes, threads, frames and kernel heap are as before it, and the audit is clean.
 * As in tests/user/runner.c, what the kernel keeps of files and names is dropped before it is counted, and what servers
 * and windows take is theirs.
 */
#include "tests/fuzz/guest/fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "user/lib/native.h"

enum { SETTLE_MS = 10000, FEW = 4, MANY = 32 /* frames */ };

/* What outlives its makers by design. */
static void remove_system_v(void) {
    union {
        struct shmid_ds shm;
        struct msqid_ds msg;
        struct semid_ds sem;
        long words[64];
    } state;
    long end = shmctl(0, SHM_INFO, &state.shm);
    for (int index = 0; index <= end; index++) {
        shmctl(shmctl(index, SHM_STAT, &state.shm), IPC_RMID, NULL);
    }
    end = msgctl(0, MSG_INFO, &state.msg);
    for (int index = 0; index <= end; index++) {
        msgctl(msgctl(index, MSG_STAT, &state.msg), IPC_RMID, NULL);
    }
    end = semctl(0, 0, SEM_INFO, &state);
    for (int index = 0; index <= end; index++) {
        semctl(semctl(index, 0, SEM_STAT, &state), 0, IPC_RMID);
    }
}

void fuzz_take_stock(struct asi_memory *memory) {
    remove_system_v();
    cache_drop();
    *memory = penumbra_memory();
}

/* As tests/user/runner.c: other processes, and this one, keep what they came to need. */
static void allow_for_the_living(struct asi_memory *now, const struct asi_memory *before) {
    now->frames_free += now->frames_of_others - before->frames_of_others;
    now->frames_free += now->frames_of_views - before->frames_of_views;
    now->frames_free += now->frames_of_spares - before->frames_of_spares;
    now->frames_free += (uint64_t)((int64_t)(now->heap_of_spares - before->heap_of_spares) / FUZZ_PAGE);
    now->global_heap_bytes -= now->heap_of_spares - before->heap_of_spares;
}

/*
 * The heap is exact in bytes. Its frames may be spread otherwise than before by a few in a round, and by one for each
 * message buffer that a thread has come to keep meanwhile, but not by more with each round.
 */
static bool is_as_before(const struct asi_memory *now, const struct asi_memory *before) {
    static uint64_t first;
    const uint64_t kept =
        now->frames_of_spares > before->frames_of_spares ? now->frames_of_spares - before->frames_of_spares : 0;
    first = first != 0 ? first : before->frames_global + MANY;
    return now->frames_free + now->frames_global == before->frames_free + before->frames_global &&
           now->frames_global <= before->frames_global + FEW + kept && now->frames_global <= first + MANY &&
           now->global_heap_bytes == before->global_heap_bytes && now->processes == before->processes &&
           now->threads == before->threads;
}

bool fuzz_stock_is_as(const struct asi_memory *before, char *words, size_t size) {
    struct asi_memory now;
    for (int waited = 0; waited < SETTLE_MS; waited += 10) {
        if (waited % 500 == 0) {
            fuzz_sweep();
        }
        fuzz_take_stock(&now);
        allow_for_the_living(&now, before);
        if (is_as_before(&now, before)) {
            return true;
        }
        if (waited > 1000 && now.processes == before->processes && now.threads == before->threads) {
            break; /* what ends has ended */
        }
        test_sleep_ms(10);
    }
    const struct {
        const char *name;
        uint64_t now, before;
    } rows[] = {{"free frames", now.frames_free, before->frames_free},
                {"heap bytes", now.global_heap_bytes, before->global_heap_bytes},
                {"processes", now.processes, before->processes},
                {"threads", now.threads, before->threads},
                {"GLOBAL frames", now.frames_global, before->frames_global},
                {"LOCAL frames", now.frames_local, before->frames_local},
                {"USER frames", now.frames_user, before->frames_user},
                {"SECRET frames", now.frames_secret, before->frames_secret},
                {"frames of others", now.frames_of_others, before->frames_of_others},
                {"frames of windows", now.frames_of_views, before->frames_of_views}};
    int length = snprintf(words, size, "not as before:");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].now != rows[i].before && length < (int)size) {
            length += snprintf(words + length, size - (size_t)length, " %s %+lld;", rows[i].name,
                               (long long)(rows[i].now - rows[i].before));
        }
    }
    return false;
}

bool fuzz_audit_is_clean(char *words, size_t size) {
    struct asi_audit_report report;
    if (penumbra_call(ASI_OP_AUDIT, ASI_BREAK_NOTHING, &report, sizeof report) < 0) {
        snprintf(words, size, "the audit failed: %s", strerror(errno));
        return false;
    }
    snprintf(words, size, "audit: %llu violations: %s", penumbra_violations(&report), report.first);
    return penumbra_violations(&report) == 0;
}
