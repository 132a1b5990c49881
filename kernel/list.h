/*
 * Circular doubly linked lists, the link inside the object. A list head is a link of its own.
 */
#ifndef KERNEL_LIST_H
#define KERNEL_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *previous;
};

#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define list_for_each(link, head) for (struct list *link = (head)->next; link != (head); link = link->next)
/* `link` may be removed inside the loop. */
#define list_for_each_safe(link, head)                                                                                 \
    for (struct list *link = (head)->next, *link##_next = link->next; link != (head);                                  \
         link = link##_next, link##_next = link->next)

static inline void list_init(struct list *head) { head->next = head->previous = head; }
static inline bool list_empty(const struct list *head) { return head->next == head; }
static inline void list_insert_after(struct list *place, struct list *link) {
    link->next = place->next;
    link->previous = place;
    place->next->previous = link;
    place->next = link;
}
static inline void list_push_back(struct list *head, struct list *link) { list_insert_after(head->previous, link); }
static inline void list_push_front(struct list *head, struct list *link) { list_insert_after(head, link); }
/* Safe on a link that is in no list if it was list_init()ed. */
static inline void list_remove(struct list *link) {
    link->next->previous = link->previous;
    link->previous->next = link->next;
    list_init(link);
}

#endif
