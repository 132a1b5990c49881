/*
 * Setting the clocks: clock_settime, settimeofday, adjtimex. Root's; what only asks is everybody's.
 *
 * There is no discipline of the clock: it runs at the TSC's rate. What a time daemon says of its quality is kept and
 * told. Locks: state_lock for that. Class GLOBAL. Any space; may sleep.
 */
#include "arch/uaccess.h"
#include "kernel/permission.h"
#include "kernel/syscall_table.h"
#include "kernel/time.h"
#include "kernel/timespec.h"

enum clock {
    CLOCK_REALTIME = 0,
    CLOCK_TAI = 11,
};

enum status sys_clock_settime(struct syscall *call) {
    uint64_t ns;

    if ((uint32_t)call->arg[0] != CLOCK_REALTIME) /* the others go on by themselves */
        return ERR_INVALID;
    enum status status = timespec_from_user(call->arg[1], &ns);
    if (status != OK)
        return status;
    if (!permitted_as_root())
        return ERR_NOT_PERMITTED;
    return time_set_realtime(ns) ? OK : ERR_INVALID;
}

enum status sys_settimeofday(struct syscall *call) {
    uint64_t ns = 0;
    uint64_t zone; /* kept by nobody: programs know of time zones by other means */
    enum status status = OK;

    if (call->arg[0] != 0)
        status = timeval_from_user(call->arg[0], &ns);
    if (status == OK && call->arg[1] != 0)
        status = copy_from_user(&zone, call->arg[1], sizeof(zone));
    if (status != OK)
        return status;
    if (!permitted_as_root())
        return ERR_NOT_PERMITTED;
    return call->arg[0] == 0 || time_set_realtime(ns) ? OK : ERR_INVALID;
}

/* --- adjtimex ----------------------------------------------------------------------------------------------------- */

enum adjust {
    ADJ_OFFSET = 0x0001,
    ADJ_FREQUENCY = 0x0002,
    ADJ_MAXERROR = 0x0004,
    ADJ_ESTERROR = 0x0008,
    ADJ_STATUS = 0x0010,
    ADJ_TIMECONST = 0x0020,
    ADJ_TAI = 0x0080,
    ADJ_SETOFFSET = 0x0100,
    ADJ_NANO = 0x2000,
    ADJ_TICK = 0x4000,
    ADJ_SINGLESHOT = 0x8000, /* adjtime() */
    ADJ_OFFSET_READONLY = 0x2000,
};

enum { STA_UNSYNC = 0x40, STA_NANO = 0x2000, STA_READ_ONLY = 0xff00, TIME_OK = 0, TIME_ERROR = 5 };
enum { ERROR_MAX = 16000000, TOLERANCE = 32768000, TICK_US = 10000, CONSTANT_DEFAULT = 2 };

struct timex {
    uint32_t modes, padding1;
    int64_t offset, frequency, max_error, estimated_error;
    int32_t status, padding2;
    int64_t constant, precision, tolerance;
    struct timeval time;
    int64_t tick, pps[8];
    int32_t tai, padding3[11];
};
_Static_assert(sizeof(struct timex) == 208, "struct timex");

/* What was said of the clock. Protected by state_lock. */
static struct spinlock state_lock = SPINLOCK_INIT(RANK_TIME);
static struct {
    int64_t max_error, estimated_error, constant;
    int32_t status;
} state = {ERROR_MAX, ERROR_MAX, CONSTANT_DEFAULT, STA_UNSYNC};

static void describe(struct timex *timex) {
    const uint64_t now = time_realtime();

    spin_lock(&state_lock);
    *timex = (struct timex){.modes = timex->modes,
                            .max_error = state.max_error,
                            .estimated_error = state.estimated_error,
                            .status = state.status,
                            .constant = state.constant,
                            .precision = 1,
                            .tolerance = TOLERANCE,
                            .time = timeval_from_ns(now),
                            .tick = TICK_US,
                            .tai = time_tai_offset()};
    spin_unlock(&state_lock);
    if (timex->status & STA_NANO)
        timex->time.microseconds = (int64_t)(now % NS_PER_SECOND);
}

/* Moves the clock by a signed time whose fraction is not negative. */
static enum status shift_clock(const struct timex *timex) {
    const int64_t unit = timex->modes & ADJ_NANO ? 1 : 1000, limit = (int64_t)NS_PER_SECOND / unit;
    const int64_t seconds_max = INT64_MAX / (int64_t)NS_PER_SECOND / 2;

    if (timex->time.microseconds < 0 || timex->time.microseconds >= limit || timex->time.seconds > seconds_max ||
        timex->time.seconds < -seconds_max)
        return ERR_INVALID;
    const int64_t by = timex->time.seconds * (int64_t)NS_PER_SECOND + timex->time.microseconds * unit;
    const int64_t to = (int64_t)time_realtime() + by;
    return to >= 0 && time_set_realtime((uint64_t)to) ? OK : ERR_INVALID;
}

static void note_state(const struct timex *timex) {
    spin_lock(&state_lock);
    if (timex->modes & ADJ_MAXERROR)
        state.max_error = timex->max_error;
    if (timex->modes & ADJ_ESTERROR)
        state.estimated_error = timex->estimated_error;
    if (timex->modes & ADJ_TIMECONST)
        state.constant = timex->constant;
    if (timex->modes & ADJ_STATUS)
        state.status = (state.status & STA_READ_ONLY) | (timex->status & ~STA_READ_ONLY);
    if (timex->modes & ADJ_NANO)
        state.status |= STA_NANO;
    spin_unlock(&state_lock);
}

static enum status adjust(struct timex *timex) {
    const bool asks = timex->modes == 0 || timex->modes == (ADJ_SINGLESHOT | ADJ_OFFSET | ADJ_OFFSET_READONLY);
    enum status status = OK;

    if (timex->modes & ADJ_SINGLESHOT && !(timex->modes & ADJ_OFFSET))
        return ERR_INVALID;
    if (!asks && !permitted_as_root())
        return ERR_NOT_PERMITTED;
    if (!asks && timex->modes & (ADJ_OFFSET | ADJ_FREQUENCY | ADJ_TICK))
        return ERR_NOT_SUPPORTED; /* nothing here slews it */
    if (!asks && timex->modes & ADJ_SETOFFSET)
        status = shift_clock(timex);
    if (status != OK || asks)
        return status;
    if (timex->modes & ADJ_TAI && timex->constant >= 0 && timex->constant <= INT32_MAX / 2)
        time_set_tai_offset((int32_t)timex->constant);
    note_state(timex);
    return OK;
}

static enum status adjust_from_user(vaddr_t at, int64_t *result) {
    struct timex timex;
    enum status status = copy_from_user(&timex, at, sizeof(timex));

    if (status == OK)
        status = adjust(&timex);
    if (status != OK)
        return status;
    describe(&timex);
    *result = timex.status & STA_UNSYNC ? TIME_ERROR : TIME_OK;
    return copy_to_user(at, &timex, sizeof(timex));
}

enum status sys_adjtimex(struct syscall *call) { return adjust_from_user(call->arg[0], &call->result); }

enum status sys_clock_adjtime(struct syscall *call) {
    const uint32_t clock = (uint32_t)call->arg[0];

    if (clock != CLOCK_REALTIME)
        return clock <= CLOCK_TAI ? ERR_NOT_SUPPORTED : ERR_INVALID;
    return adjust_from_user(call->arg[1], &call->result);
}
