/*
 * The victim: a process with a secret, which it reads from a file that only root may read, and that no other process of
 * the demonstration ever knows. It keeps it in one place, which is named when it starts.
 */
#ifndef USER_DEMO_VICTIM_H
#define USER_DEMO_VICTIM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SECRET_BYTES 16
#define SECRETS_FILE "/demo/secrets" /* a line of SECRET_BYTES characters for each place */
#define VICTIM_UID   1001

enum place { PLACE_PAGE, PLACE_FILE, PLACE_PIPE, PLACE_REGISTERS, PLACE_MESSAGE, PLACE_SCENE2, PLACE_SCENE3, PLACES };
#define SCENE1_PLACES PLACE_SCENE2

extern const char *const place_slugs[PLACES];

/* In front of the secret lie 8 bytes that the attacker knows: marker_masked(place) ^ marker_mask(). */
uint64_t marker_masked(enum place place);
uint64_t marker_mask(void);

struct victim {
    pid_t pid;
    int command, answer; /* of scenes 2 and 3: what it is to do, and that it has */
    enum place place;
};

/* Returns when the secret is in its place. Ends the program when that cannot be. */
void victim_start(struct victim *victim, enum place place);
void victim_end(struct victim *victim);

/* One of its own turns, in scenes 2 and 3: it uses byte `index` of its secret. From any process that has the pipes. */
void victim_use(const struct victim *victim, unsigned char index);

/* Where in RAM the secret is, behind its marker; 0: nowhere. For root. */
uint64_t victim_locate(const struct victim *victim);

#endif
