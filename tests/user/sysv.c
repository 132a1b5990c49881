/* Conformance: System V shared memory, semaphores and message queues; shared memory by files under /dev/shm. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

enum { PAGE = TEST_PAGE, NOBODY = 65534 };

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
};

/* A key of this process's own. */
static key_t fresh_key(int number) { return (key_t)(0x50000000 + (getpid() & 0xffff) * 16 + number); }

static void become_nobody(void) {
    CHECK_OK(setgid(NOBODY));
    CHECK_OK(setuid(NOBODY));
}

static bool is_root(void) { return getuid() == 0; }

/* --- Shared memory --- */

static struct shmid_ds shm_state(int id) {
    struct shmid_ds state;
    CHECK_OK(shmctl(id, IPC_STAT, &state));
    return state;
}

static uint8_t *attach(int id, int flags) {
    uint8_t *memory = shmat(id, NULL, flags);
    CHECK(memory != (void *)-1);
    CHECK_EQ((uintptr_t)memory % PAGE, 0);
    return memory;
}

static void shm_keys(void) {
    key_t key = fresh_key(0);
    CHECK_ERRNO(shmget(key, PAGE, 0600), ENOENT);
    int id = (int)CHECK_OK(shmget(key, 3 * PAGE + 5, IPC_CREAT | IPC_EXCL | 0600));
    CHECK_ERRNO(shmget(key, PAGE, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK_EQ(shmget(key, PAGE, IPC_CREAT | 0600), id);
    CHECK_EQ(shmget(key, 0, 0), id);
    CHECK_EQ(shmget(key, 3 * PAGE + 5, 0), id);
    CHECK_ERRNO(shmget(key, 4 * PAGE, 0600), EINVAL); /* larger than it is */
    CHECK_ERRNO(shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600), EINVAL);
    struct shmid_ds state = shm_state(id);
    CHECK_EQ(state.shm_segsz, 3 * PAGE + 5);
    CHECK_EQ(state.shm_nattch, 0);
    CHECK_EQ(state.shm_perm.mode & 07777, 0600);
    CHECK_EQ(state.shm_perm.uid, getuid());
    CHECK_EQ(state.shm_cpid, getpid());
    CHECK_EQ(state.shm_lpid, 0);
    CHECK_EQ(state.shm_atime, 0);
    CHECK(state.shm_ctime > 0);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
    CHECK(shmctl(id, IPC_RMID, NULL) == -1 && (errno == EINVAL || errno == EIDRM));
    CHECK_ERRNO(shmget(key, PAGE, 0600), ENOENT);
    int first = (int)CHECK_OK(shmget(IPC_PRIVATE, PAGE, 0600)), second = (int)CHECK_OK(shmget(IPC_PRIVATE, 1, 0600));
    CHECK(first != second && first != id);
    CHECK_OK(shmctl(first, IPC_RMID, NULL));
    CHECK_OK(shmctl(second, IPC_RMID, NULL));
}

static void shm_shared(void) {
    int id = (int)CHECK_OK(shmget(IPC_PRIVATE, 4 * PAGE, IPC_CREAT | 0600));
    uint8_t *memory = attach(id, 0), *again = attach(id, 0);
    CHECK(memory != again);
    for (int i = 0; i < 4 * PAGE; i++) {
        CHECK_EQ(memory[i], 0);
    }
    memory[5] = 42;
    again[3 * PAGE] = 43;
    CHECK_EQ(again[5], 42);
    CHECK_EQ(memory[3 * PAGE], 43);
    CHECK_EQ(shm_state(id).shm_nattch, 2);
    pid_t pid = fork();
    if (pid == 0) { /* inherits both */
        CHECK_EQ(shm_state(id).shm_nattch, 4);
        CHECK_EQ(memory[5], 42);
        again[6] = 44;
        CHECK_OK(shmdt(memory));
        CHECK_EQ(shm_state(id).shm_nattch, 3);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(memory[6], 44);
    struct shmid_ds state = shm_state(id);
    CHECK_EQ(state.shm_nattch, 2); /* its end detached the other */
    CHECK_EQ(state.shm_lpid, pid);
    CHECK(state.shm_atime > 0 && state.shm_dtime > 0);
    CHECK_OK(shmdt(memory));
    CHECK_ERRNO(shmdt(memory), EINVAL);
    CHECK_ERRNO(shmdt(again + 1), EINVAL);
    CHECK_EQ(again[5], 42);
    CHECK_OK(shmdt(again));
    memory = attach(id, 0); /* what it held is still there */
    CHECK_EQ(memory[6], 44);
    CHECK_OK(shmdt(memory));
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
    CHECK(shmat(id, NULL, 0) == (void *)-1 && (errno == EINVAL || errno == EIDRM));
}

static void shm_removed_while_attached(void) {
    key_t key = fresh_key(1);
    int id = (int)CHECK_OK(shmget(key, PAGE, IPC_CREAT | 0600));
    uint8_t *memory = attach(id, 0);
    memory[0] = 7;
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
    CHECK_EQ(memory[0], 7);
    struct shmid_ds state = shm_state(id);
    CHECK_EQ(state.shm_perm.mode & 01000, 01000);
    CHECK_EQ(state.shm_perm.__key, IPC_PRIVATE);
    CHECK_EQ(state.shm_nattch, 1);
    CHECK_ERRNO(shmget(key, PAGE, 0600), ENOENT); /* by its key it is found no more */
    uint8_t *again = attach(id, 0);               /* by its id it is */
    CHECK_EQ(again[0], 7);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(memory[0] == 7 && again[0] == 7 ? 0 : 1);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_OK(shmdt(memory));
    CHECK_EQ(again[0], 7);
    CHECK_OK(shmdt(again));
    CHECK(shmctl(id, IPC_STAT, &state) == -1 && (errno == EINVAL || errno == EIDRM));
    int other = (int)CHECK_OK(shmget(key, PAGE, IPC_CREAT | IPC_EXCL | 0600));
    CHECK(other != id);
    memory = attach(other, 0);
    CHECK_EQ(memory[0], 0);
    CHECK_OK(shmctl(other, IPC_RMID, NULL)); /* the end of the process is its end */
}

static void shm_addresses(void) {
    int id = (int)CHECK_OK(shmget(IPC_PRIVATE, 2 * PAGE, IPC_CREAT | 0600));
    uint8_t *place = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(place != MAP_FAILED);
    place[2 * PAGE] = 9;
    CHECK_ERRNO((long)shmat(id, place + 1, 0), EINVAL);
    CHECK_ERRNO((long)shmat(id, place, 0), EINVAL); /* something is there */
    CHECK_ERRNO((long)shmat(id, NULL, SHM_REMAP), EINVAL);
    CHECK_ERRNO((long)shmat(-1, NULL, 0), EINVAL);
    CHECK_EQ(place[2 * PAGE], 9);
    CHECK(shmat(id, place + 2 * PAGE + 123, SHM_REMAP | SHM_RND) == place + 2 * PAGE);
    CHECK_EQ(place[2 * PAGE], 0);
    place[3 * PAGE] = 5;
    CHECK_EQ(place[0], 0);
    CHECK_OK(munmap(place + 5 * PAGE, 3 * PAGE));
    CHECK(shmat(id, place + 5 * PAGE, 0) == place + 5 * PAGE);
    CHECK_EQ(place[6 * PAGE], 5);
    CHECK_OK(munmap(place + 5 * PAGE, PAGE)); /* a part of it; shmdt takes the rest */
    CHECK_EQ(shm_state(id).shm_nattch, 2);
    CHECK_EQ(place[6 * PAGE], 5);
    CHECK_OK(shmdt(place + 5 * PAGE));
    CHECK_EQ(shm_state(id).shm_nattch, 1);
    CHECK_OK(mprotect(place + 2 * PAGE, PAGE, PROT_NONE)); /* now it is two areas */
    CHECK_EQ(shm_state(id).shm_nattch, 2);
    CHECK_OK(shmdt(place + 2 * PAGE));
    CHECK_EQ(shm_state(id).shm_nattch, 0);
    CHECK_ERRNO(shmdt(place), EINVAL);
    CHECK_EQ(place[0], 0);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
}

static void shm_read_only(void) {
    int id = (int)CHECK_OK(shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600));
    uint8_t *writable = attach(id, 0), *memory = attach(id, SHM_RDONLY);
    writable[0] = 3;
    CHECK_EQ(memory[0], 3);
    CHECK_ERRNO(mprotect(memory, PAGE, PROT_READ | PROT_WRITE), EACCES);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        *(volatile uint8_t *)memory = 1;
        _exit(0);
    }
    CHECK_SIGNALED(test_wait(pid), SIGSEGV);
    CHECK_EQ(memory[0], 3);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
}

static void shm_rights(void) {
    if (!is_root()) {
        test_skip("only root can be somebody else");
    }
    int id = (int)CHECK_OK(shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600));
    int readable = (int)CHECK_OK(shmget(fresh_key(2), PAGE, IPC_CREAT | 0644));
    pid_t pid = fork();
    if (pid == 0) {
        struct shmid_ds state;
        become_nobody();
        CHECK_ERRNO((long)shmat(id, NULL, 0), EACCES);
        CHECK_ERRNO((long)shmat(id, NULL, SHM_RDONLY), EACCES);
        CHECK_ERRNO(shmctl(id, IPC_STAT, &state), EACCES);
        CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
        CHECK_ERRNO((long)shmat(readable, NULL, 0), EACCES);
        CHECK_EQ(shmget(fresh_key(2) /* the parent's is another */, 0, 0) == -1, 1);
        CHECK_EQ(attach(readable, SHM_RDONLY)[0], 0);
        CHECK_OK(shmctl(readable, IPC_STAT, &state));
        CHECK_ERRNO(shmctl(readable, IPC_SET, &state), EPERM);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    struct shmid_ds state = shm_state(id);
    state.shm_perm.uid = NOBODY;
    state.shm_perm.mode = 0400 | 07000;
    CHECK_OK(shmctl(id, IPC_SET, &state));
    CHECK_EQ(shm_state(id).shm_perm.mode, 0400);
    CHECK_EQ(shm_state(id).shm_perm.cuid, 0);
    pid = fork();
    if (pid == 0) { /* whose it is now */
        become_nobody();
        CHECK_ERRNO((long)shmat(id, NULL, 0), EACCES);
        CHECK_EQ(attach(id, SHM_RDONLY)[0], 0);
        CHECK_OK(shmctl(id, IPC_RMID, NULL));
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK(shmctl(id, IPC_STAT, &state) == -1);
    CHECK_OK(shmctl(readable, IPC_RMID, NULL));
}

/* Large ones are filled as they are touched; those that could never be are refused. */
static void shm_sizes(void) {
    enum { COUNT = 8 };
    const size_t bytes = 16800000;
    int ids[COUNT];
    for (int i = 0; i < COUNT; i++) {
        ids[i] = (int)CHECK_OK(shmget(IPC_PRIVATE, bytes, IPC_CREAT | 0600));
        uint8_t *memory = attach(ids[i], 0);
        memory[bytes - 1] = (uint8_t)i;
        memory[bytes] = 1; /* the rest of its last page */
    }
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(attach(ids[i], SHM_RDONLY)[bytes - 1], i);
        CHECK_OK(shmctl(ids[i], IPC_RMID, NULL));
    }
    CHECK(shmget(IPC_PRIVATE, SIZE_MAX, IPC_CREAT | 0600) == -1);
    CHECK(shmget(IPC_PRIVATE, 1ul << 60, IPC_CREAT | 0600) == -1 && (errno == ENOMEM || errno == ENOSPC));
    CHECK_ERRNO(shmctl(-1, IPC_STAT, NULL), EINVAL);
    CHECK_ERRNO(shmctl(0, 99, NULL), EINVAL);
}

/* An exec lets go of what was attached; a vfork child's attachment is its parent's memory. */
static void shm_exec(void) {
    int id = (int)CHECK_OK(shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600));
    uint8_t *memory = attach(id, 0);
    memory[1] = 1;
    pid_t pid = vfork();
    if (pid == 0) {
        close(1);
        execl("/proc/self/exe", "sysv", "--list", NULL);
        _exit(1);
    }
    int status = test_wait(pid);
    CHECK(status == 0 || WIFEXITED(status)); /* where there is no /proc the exec failed: as good */
    CHECK_EQ(shm_state(id).shm_nattch, 1);
    CHECK_EQ(memory[1], 1);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
}

static void posix_shared_memory(void) {
    char name[64];
    struct stat stat_buffer;
    snprintf(name, sizeof(name), "/penumbra-test-%d", getpid());
    int fd = (int)CHECK_OK(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
    CHECK_ERRNO(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    CHECK_OK(ftruncate(fd, 3 * PAGE));
    uint8_t *memory = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED);
    CHECK_OK(close(fd));
    pid_t pid = fork();
    if (pid == 0) {
        int other = (int)CHECK_OK(shm_open(name, O_RDWR, 0));
        uint8_t *mine = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
        CHECK(mine != MAP_FAILED);
        mine[2 * PAGE] = 77;
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(memory[2 * PAGE], 77);
    CHECK_OK(shm_unlink(name));
    CHECK_ERRNO(shm_open(name, O_RDWR, 0), ENOENT);
    CHECK_OK(stat("/dev/shm", &stat_buffer));
    CHECK(S_ISDIR(stat_buffer.st_mode));
    CHECK_EQ(stat_buffer.st_mode & 01777, 01777);
}

/* Files without a name, that can be sealed. */
static void memfd(void) {
    enum { ADD_SEALS = 1033, GET_SEALS = 1034, SEAL = 1, SHRINK = 2, GROW = 4, WRITE = 8 };
    char name[300];
    uint8_t byte = 5;
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = 0;
    CHECK_ERRNO(memfd_create(name, 0), EINVAL);
    name[249] = 0;
    CHECK_OK(close((int)CHECK_OK(memfd_create(name, 1 /* MFD_CLOEXEC */))));
    CHECK_ERRNO(memfd_create("x", 0x1000), EINVAL);
    CHECK_ERRNO(syscall(SYS_memfd_create, 8, 0), EFAULT);
    int plain = (int)CHECK_OK(memfd_create("plain", 0));
    CHECK_EQ(fcntl(plain, GET_SEALS), SEAL);
    CHECK_ERRNO(fcntl(plain, ADD_SEALS, WRITE), EPERM);
    CHECK_OK(ftruncate(plain, PAGE));
    int fd = (int)CHECK_OK(memfd_create("sealed", 2 /* MFD_ALLOW_SEALING */));
    CHECK_EQ(fcntl(fd, GET_SEALS), 0);
    CHECK_OK(ftruncate(fd, 2 * PAGE));
    CHECK_EQ(pwrite(fd, &byte, 1, PAGE), 1);
    CHECK_OK(fcntl(fd, ADD_SEALS, SHRINK));
    CHECK_ERRNO(ftruncate(fd, PAGE), EPERM);
    CHECK_OK(ftruncate(fd, 3 * PAGE));
    CHECK_OK(fcntl(fd, ADD_SEALS, GROW));
    CHECK_ERRNO(ftruncate(fd, 4 * PAGE), EPERM);
    CHECK_OK(ftruncate(fd, 3 * PAGE));
    CHECK_ERRNO(pwrite(fd, &byte, 1, 3 * PAGE), EPERM);
    CHECK_EQ(pwrite(fd, &byte, 1, 3 * PAGE - 1), 1);
    uint8_t *memory = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED);
    CHECK_ERRNO(fcntl(fd, ADD_SEALS, WRITE), EBUSY); /* a mapping that may write */
    CHECK_EQ(fcntl(fd, GET_SEALS), SHRINK | GROW);
    memory[0] = 9;
    CHECK_OK(munmap(memory, 3 * PAGE));
    CHECK_OK(fcntl(fd, ADD_SEALS, WRITE));
    CHECK_ERRNO(pwrite(fd, &byte, 1, 0), EPERM);
    CHECK_ERRNO((long)mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
    memory = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED);
    CHECK_EQ(memory[0], 9);
    CHECK_ERRNO(mprotect(memory, PAGE, PROT_READ | PROT_WRITE), EACCES);
    uint8_t *mine = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(mine != MAP_FAILED);
    mine[0] = 10;
    CHECK_EQ(memory[0], 9);
    CHECK_OK(fcntl(fd, ADD_SEALS, SEAL));
    CHECK_ERRNO(fcntl(fd, ADD_SEALS, SHRINK), EPERM);
    CHECK_ERRNO(fcntl(fd, ADD_SEALS, 0x1000), EINVAL);
    CHECK_ERRNO(fcntl(0, GET_SEALS), EINVAL);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(pread(fd, &byte, 1, PAGE), 1);
        _exit(byte);
    }
    CHECK_EXITED_WITH(test_wait(pid), 5);
}

/* --- Semaphores --- */

static int new_set(int count) { return (int)CHECK_OK(semget(IPC_PRIVATE, count, IPC_CREAT | 0600)); }

static void remove_set(int id) { CHECK_OK(semctl(id, 0, IPC_RMID)); }

static int operate(int id, int number, int operation, int flags) {
    struct sembuf one = {(unsigned short)number, (short)operation, (short)flags};
    return semop(id, &one, 1);
}

static int value(int id, int number) { return (int)CHECK_OK(semctl(id, number, GETVAL)); }

static void set_value(int id, int number, int to) { CHECK_OK(semctl(id, number, SETVAL, (union semun){.val = to})); }

static void sem_sets(void) {
    key_t key = fresh_key(3);
    struct semid_ds state;
    CHECK_ERRNO(semget(key, 2, 0600), ENOENT);
    CHECK_ERRNO(semget(key, 0, IPC_CREAT | 0600), EINVAL);
    CHECK_ERRNO(semget(key, -1, IPC_CREAT | 0600), EINVAL);
    int id = (int)CHECK_OK(semget(key, 3, IPC_CREAT | IPC_EXCL | 0640));
    CHECK_ERRNO(semget(key, 3, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK_EQ(semget(key, 0, 0), id);
    CHECK_ERRNO(semget(key, 4, 0600), EINVAL);
    CHECK_OK(semctl(id, 0, IPC_STAT, (union semun){.buf = &state}));
    CHECK_EQ(state.sem_nsems, 3);
    CHECK_EQ(state.sem_otime, 0);
    CHECK_EQ(state.sem_perm.mode, 0640);
    unsigned short values[3] = {7, 8, 9}, out[3] = {0};
    CHECK_OK(semctl(id, 0, SETALL, (union semun){.array = values}));
    CHECK_OK(semctl(id, 0, GETALL, (union semun){.array = out}));
    CHECK(memcmp(values, out, sizeof(values)) == 0);
    CHECK_EQ(value(id, 2), 9);
    CHECK_EQ(semctl(id, 1, GETPID), getpid());
    CHECK_ERRNO(semctl(id, 3, GETVAL), EINVAL);
    CHECK_ERRNO(semctl(id, -1, GETVAL), EINVAL);
    CHECK_ERRNO(semctl(id, 0, SETVAL, (union semun){.val = 32768}), ERANGE);
    CHECK_ERRNO(semctl(id, 0, SETVAL, (union semun){.val = -1}), ERANGE);
    values[1] = 40000;
    CHECK_ERRNO(semctl(id, 0, SETALL, (union semun){.array = values}), ERANGE);
    CHECK_EQ(value(id, 1), 8);
    CHECK_ERRNO(semctl(id, 0, 99), EINVAL);
    remove_set(id);
    CHECK(semctl(id, 0, GETVAL) == -1 && (errno == EINVAL || errno == EIDRM));
}

/* All of a call's operations or none. */
static void sem_all_or_none(void) {
    int id = new_set(3);
    struct sembuf both[] = {{0, 2, 0}, {1, -1, IPC_NOWAIT}}, too_many[501] = {{0, 1, 0}};
    CHECK_ERRNO(semop(id, both, 2), EAGAIN);
    CHECK_EQ(value(id, 0), 0);
    set_value(id, 1, 1);
    CHECK_OK(semop(id, both, 2));
    CHECK_EQ(value(id, 0), 2);
    CHECK_EQ(value(id, 1), 0);
    struct sembuf same[] = {{2, 1, 0}, {2, -1, 0}, {2, 0, 0}}; /* in turn: up, down, zero */
    CHECK_OK(semop(id, same, 3));
    CHECK_EQ(value(id, 2), 0);
    CHECK_ERRNO(operate(id, 3, 1, 0), EFBIG);
    CHECK_ERRNO(semop(id, both, 0), EINVAL);
    CHECK_ERRNO(semop(id, too_many, 501), E2BIG);
    CHECK_ERRNO(semop(-1, both, 1), EINVAL);
    CHECK_ERRNO(semop(id, (void *)8, 1), EFAULT);
    set_value(id, 0, 32767);
    CHECK_ERRNO(operate(id, 0, 1, 0), ERANGE);
    CHECK_ERRNO(operate(id, 0, 0, IPC_NOWAIT), EAGAIN);
    struct timespec soon = {0, 20000000}, bad = {0, -1};
    struct sembuf zero = {0, 0, 0};
    CHECK_ERRNO(semtimedop(id, &zero, 1, &soon), EAGAIN);
    CHECK_ERRNO(semtimedop(id, &zero, 1, &bad), EINVAL);
    remove_set(id);
}

static void wait_until(int id, int number, int command, int count) {
    while (CHECK_OK(semctl(id, number, command)) != count) {
        test_sleep_ms(1);
    }
}

static void sem_waiting(void) {
    int id = new_set(2);
    pid_t down = fork();
    if (down == 0) {
        CHECK_OK(operate(id, 0, -3, 0));
        _exit(0);
    }
    pid_t zero = fork();
    if (zero == 0) {
        struct sembuf both[] = {{0, 0, 0}, {1, 1, 0}};
        CHECK_OK(semop(id, both, 2));
        _exit(0);
    }
    CHECK_EXITED(test_wait(zero)); /* it is zero */
    CHECK_EQ(value(id, 1), 1);
    wait_until(id, 0, GETNCNT, 1);
    CHECK_OK(operate(id, 0, 2, 0)); /* not enough */
    CHECK_EQ(semctl(id, 0, GETNCNT), 1);
    zero = fork();
    if (zero == 0) {
        CHECK_OK(operate(id, 0, 0, 0));
        _exit(0);
    }
    wait_until(id, 0, GETZCNT, 1);
    CHECK_OK(operate(id, 0, 1, 0)); /* the first gets three, and so there is none: the other goes on, too */
    CHECK_EXITED(test_wait(down));
    CHECK_EXITED(test_wait(zero));
    CHECK_EQ(value(id, 0), 0);
    CHECK_EQ(semctl(id, 0, GETNCNT) + semctl(id, 0, GETZCNT), 0);
    pid_t removed = fork();
    if (removed == 0) {
        CHECK_ERRNO(operate(id, 0, -1, 0), EIDRM);
        _exit(0);
    }
    wait_until(id, 0, GETNCNT, 1);
    remove_set(id);
    CHECK_EXITED(test_wait(removed));
}

static void on_alarm(int signal) { (void)signal; }

/* A signal ends the wait, whatever the handler says of restarting. */
static void sem_interrupted(void) {
    int id = new_set(1);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval timer = {.it_value = {.tv_usec = 30000}};
    CHECK_OK(sigaction(SIGALRM, &action, NULL));
    CHECK_OK(setitimer(ITIMER_REAL, &timer, NULL));
    CHECK_ERRNO(operate(id, 0, -1, 0), EINTR);
    CHECK_EQ(semctl(id, 0, GETNCNT), 0);
    remove_set(id);
}

static void sem_undo(void) {
    int id = new_set(2);
    set_value(id, 0, 5);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_OK(operate(id, 0, -2, SEM_UNDO));
        CHECK_OK(operate(id, 0, -1, SEM_UNDO));
        CHECK_OK(operate(id, 1, 4, SEM_UNDO));
        CHECK_OK(operate(id, 1, 1, 0));
        pid_t grandchild = fork(); /* inherits nothing to undo */
        if (grandchild == 0) {
            _exit(0);
        }
        CHECK_EXITED(test_wait(grandchild));
        CHECK_EQ(value(id, 0), 2);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(value(id, 0), 5);
    CHECK_EQ(value(id, 1), 1);

    pid_t waiter = fork(); /* what is undone wakes who waits; a kill undoes as an exit does */
    if (waiter == 0) {
        CHECK_OK(operate(id, 1, -2, 0));
        _exit(0);
    }
    wait_until(id, 1, GETNCNT, 1);
    set_value(id, 0, 1);
    pid = fork();
    if (pid == 0) {
        struct sembuf both[] = {{1, -1, SEM_UNDO}, {0, -1, SEM_UNDO}};
        CHECK_OK(semop(id, both, 2));
        pause();
        _exit(0);
    }
    wait_until(id, 0, GETVAL, 0);
    CHECK_OK(operate(id, 1, 1, 0));
    CHECK_EQ(value(id, 1), 1);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
    CHECK_EXITED(test_wait(waiter));
    CHECK_EQ(value(id, 0), 1);
    CHECK_EQ(value(id, 1), 0);

    pid = fork(); /* SETVAL forgets what was to be undone */
    if (pid == 0) {
        CHECK_OK(operate(id, 0, 3, SEM_UNDO));
        set_value(id, 0, 9);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(value(id, 0), 9);
    remove_set(id);
}

static int turns_set;
static long turns_sum;

static void *take_turns(void *argument) {
    for (int i = 0; i < 300; i++) {
        CHECK_OK(operate(turns_set, 0, -1, SEM_UNDO));
        turns_sum += (intptr_t)argument;
        CHECK_OK(operate(turns_set, 0, 1, SEM_UNDO));
    }
    return NULL;
}

static void sem_threads(void) {
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    turns_set = new_set(1);
    set_value(turns_set, 0, 1);
    for (intptr_t i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, take_turns, (void *)(i + 1)), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(turns_sum, 300 * (1 + 2 + 3 + 4));
    CHECK_EQ(value(turns_set, 0), 1);
    remove_set(turns_set);
}

static void sem_rights(void) {
    if (!is_root()) {
        test_skip("only root can be somebody else");
    }
    int id = (int)CHECK_OK(semget(IPC_PRIVATE, 1, IPC_CREAT | 0604));
    pid_t pid = fork();
    if (pid == 0) {
        become_nobody();
        CHECK_EQ(value(id, 0), 0);
        CHECK_OK(operate(id, 0, 0, 0));
        CHECK_ERRNO(operate(id, 0, 1, 0), EACCES);
        CHECK_ERRNO(semctl(id, 0, SETVAL, (union semun){.val = 1}), EACCES);
        CHECK_ERRNO(semctl(id, 0, IPC_RMID), EPERM);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    remove_set(id);
}

/* --- Message queues --- */

struct message {
    long type;
    char text[64];
};

static void send_text(int id, long type, const char *text) {
    struct message message = {.type = type};
    strcpy(message.text, text);
    CHECK_OK(msgsnd(id, &message, strlen(text), IPC_NOWAIT));
}

static void expect(int id, long type, int flags, long got_type, const char *text) {
    struct message message = {.type = 0};
    ssize_t length = CHECK_OK(msgrcv(id, &message, sizeof(message.text), type, flags | IPC_NOWAIT));
    CHECK_EQ(length, strlen(text));
    CHECK_EQ(message.type, got_type);
    CHECK(memcmp(message.text, text, strlen(text)) == 0);
}

static void msg_types(void) {
    key_t key = fresh_key(4);
    struct message message = {.type = 1};
    struct msqid_ds state;
    CHECK_ERRNO(msgget(key, 0600), ENOENT);
    int id = (int)CHECK_OK(msgget(key, IPC_CREAT | IPC_EXCL | 0600));
    CHECK_ERRNO(msgget(key, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK_EQ(msgget(key, 0), id);
    send_text(id, 5, "five");
    send_text(id, 3, "three");
    send_text(id, 9, "nine");
    send_text(id, 3, "again");
    send_text(id, 4, "");
    CHECK_OK(msgctl(id, IPC_STAT, &state));
    CHECK_EQ(state.msg_qnum, 5);
    CHECK_EQ(state.msg_lspid, getpid());
    CHECK_EQ(state.msg_lrpid, 0);
    expect(id, 9, 0, 9, "nine");
    expect(id, -4, 0, 3, "three");
    expect(id, 5, MSG_EXCEPT, 3, "again");
    expect(id, 0, 0, 5, "five");
    expect(id, -100, 0, 4, "");
    CHECK_ERRNO(msgrcv(id, &message, 10, 0, IPC_NOWAIT), ENOMSG);
    CHECK_ERRNO(msgsnd(id, &message, 8193, 0), EINVAL);
    message.type = 0;
    CHECK_ERRNO(msgsnd(id, &message, 1, 0), EINVAL);
    CHECK_ERRNO(msgsnd(-1, &message, 1, 0), EINVAL);
    CHECK_ERRNO(msgsnd(id, (void *)8, 1, 0), EFAULT);
    send_text(id, 1, "much too long");
    CHECK_ERRNO(msgrcv(id, &message, 4, 0, IPC_NOWAIT), E2BIG);
    CHECK_EQ(msgrcv(id, &message, 4, 0, IPC_NOWAIT | MSG_NOERROR), 4);
    CHECK(memcmp(message.text, "much", 4) == 0);
    CHECK_ERRNO(msgrcv(id, &message, 4, 0, IPC_NOWAIT), ENOMSG);
    CHECK_OK(msgctl(id, IPC_RMID, NULL));
    CHECK(msgsnd(id, &message, 1, 0) == -1);
}

static void msg_waiting(void) {
    static struct {
        long type;
        uint8_t bytes[8192];
    } big, got;
    int id = (int)CHECK_OK(msgget(IPC_PRIVATE, IPC_CREAT | 0600));
    pid_t reader = fork();
    if (reader == 0) {
        for (int i = 0; i < 20; i++) {
            CHECK_EQ(msgrcv(id, &got, sizeof(got.bytes), 0, 0), 8192 - i);
            CHECK_EQ(got.type, i + 1);
            for (int at = 0; at < 8192 - i; at += 97) {
                CHECK_EQ(got.bytes[at], test_byte((size_t)(at + i)));
            }
        }
        CHECK_ERRNO(msgrcv(id, &got, sizeof(got.bytes), 0, 0), EIDRM);
        _exit(0);
    }
    for (int i = 0; i < 20; i++) { /* more than a queue holds at once */
        big.type = i + 1;
        for (int at = 0; at < 8192; at++) {
            big.bytes[at] = test_byte((size_t)(at + i));
        }
        CHECK_OK(msgsnd(id, &big, (size_t)(8192 - i), 0));
    }
    struct msqid_ds state = {.msg_qnum = 1};
    while (state.msg_qnum > 0) {
        test_sleep_ms(1);
        CHECK_OK(msgctl(id, IPC_STAT, &state));
    }
    test_sleep_ms(20);
    CHECK_OK(msgctl(id, IPC_RMID, NULL));
    CHECK_EXITED(test_wait(reader));

    id = (int)CHECK_OK(msgget(IPC_PRIVATE, IPC_CREAT | 0600));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(msgsnd(id, &big, 8192, IPC_NOWAIT));
    }
    CHECK_ERRNO(msgsnd(id, &big, 1, IPC_NOWAIT), EAGAIN);
    pid_t writer = fork();
    if (writer == 0) {
        CHECK_ERRNO(msgsnd(id, &big, 1, 0), EIDRM);
        _exit(0);
    }
    test_sleep_ms(30);
    CHECK_OK(msgctl(id, IPC_RMID, NULL)); /* with messages in it */
    CHECK_EXITED(test_wait(writer));
}

static const struct test_case cases[] = {
    {"shm-keys", shm_keys},
    {"shm-shared", shm_shared},
    {"shm-removed-while-attached", shm_removed_while_attached},
    {"shm-addresses", shm_addresses},
    {"shm-read-only", shm_read_only},
    {"shm-rights", shm_rights},
    {"shm-sizes", shm_sizes},
    {"shm-exec", shm_exec},
    {"posix-shared-memory", posix_shared_memory},
    {"memfd", memfd},
    {"sem-sets", sem_sets},
    {"sem-all-or-none", sem_all_or_none},
    {"sem-waiting", sem_waiting},
    {"sem-interrupted", sem_interrupted},
    {"sem-undo", sem_undo},
    {"sem-threads", sem_threads},
    {"sem-rights", sem_rights},
    {"msg-types", msg_types},
    {"msg-waiting", msg_waiting},
};
TEST_MAIN(cases)
