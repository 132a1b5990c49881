/*
 * Names of sockets: paths, which are nodes of a file system, and abstract ones, which end with their socket.
 *
 * Names are metadata. Locks: names_lock for paths, never inside sockets_lock, which guards the table. Runs in the
 * caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/local.h"
#include "kernel/name_change.h"
#include "kernel/path.h"
#include "kernel/permission.h"
#include "kernel/print.h"
#include "kernel/socket.h"
#include "kernel/string.h"

#define BUCKETS 64U

static struct list buckets[BUCKETS]; /* struct socket.bound_link. Protected by sockets_lock */

/* By abstract name or place. sockets_lock held. */
static struct list *bucket_of(const struct socket_name *name, const struct inode *place) {
    uint64_t key = (uint64_t)place >> 6;
    for (unsigned i = 0; place == NULL && i < name->length; i++)
        key = key * 31 + (uint8_t)name->bytes[i];
    struct list *bucket = &buckets[(key ^ key >> 7) % BUCKETS];
    if (bucket->next == NULL)
        list_init(bucket);
    return bucket;
}

/* sockets_lock held. */
static struct socket *find_bound(const struct socket_name *name, const struct inode *place) {
    list_for_each(link, bucket_of(name, place)) {
        struct socket *socket = container_of(link, struct socket, bound_link);
        if (socket->place != place)
            continue;
        if (place != NULL ||
            (socket->name.length == name->length && memcmp(socket->name.bytes, name->bytes, name->length) == 0))
            return socket;
    }
    return NULL;
}

static bool is_abstract(const struct socket_name *name) { return name->bytes[0] == '\0'; }

/* --- As user space has them --------------------------------------------------------------------------------------- */

enum status socket_name_from_user(vaddr_t address, uint64_t length, struct socket_name *name) {
    struct socket_address from = {0};
    *name = (struct socket_name){0};
    if (length < sizeof(from.family) || length > sizeof(from))
        return ERR_INVALID;
    enum status status = copy_from_user(&from, address, length);
    if (status != OK)
        return status;
    if (from.family != AF_UNIX)
        return ERR_INVALID;
    size_t bytes = length - sizeof(from.family);
    if (bytes > 0 && from.path[0] != '\0') {
        size_t end = 0;
        while (end < bytes && from.path[end] != '\0')
            end++;
        bytes = end;
    }
    memcpy(name->bytes, from.path, bytes);
    name->length = (uint8_t)bytes;
    return OK;
}

uint32_t socket_name_pack(uint32_t family, const struct socket_name *name, struct socket_address *out) {
    *out = (struct socket_address){.family = (uint16_t)family};
    if (family == AF_INET)
        return 16; /* a sockaddr_in of zeros */
    memcpy(out->path, name->bytes, name->length);
    bool room = name->length > 0 && !is_abstract(name); /* for the terminator */
    return (uint32_t)(sizeof(out->family) + name->length + room);
}

enum status socket_name_to_user(const struct socket *socket, const struct socket_name *name, vaddr_t address,
                                vaddr_t length_at) {
    struct {
        struct socket_address address;
        char terminator; /* of the longest path */
    } out = {0};
    int32_t room, length;
    enum status status = copy_from_user(&room, length_at, sizeof(room));
    if (status != OK)
        return status;
    if (room < 0)
        return ERR_INVALID;
    length = (int32_t)socket_name_pack(socket->family, name, &out.address);
    status = copy_to_user(address, &out, (size_t)(room < length ? room : length));
    return status == OK ? copy_to_user(length_at, &length, sizeof(length)) : status;
}

/* --- Binding ------------------------------------------------------------------------------------------------------ */

/* Makes a node of that path: its inode, with a reference. */
static enum status make_place(const struct socket_name *name, struct inode **out) {
    struct path path;
    struct path_walk walk;
    path_begin_text(&path, name->bytes);
    spin_lock(&names_lock);
    enum status status = path_resolve(&path, WALK_PARENT, &walk);
    if (status == OK && walk.slash && walk.inode == NULL)
        status = ERR_NO_ENTRY;
    if (status == OK)
        status = change_make(&walk, S_IFSOCK | (0777 & ~LOCAL->handles.umask), NULL, out);
    spin_unlock(&names_lock);
    path_end(&path);
    return status == ERR_EXISTS ? ERR_ADDRESS_IN_USE : status;
}

static enum status begin_binding(struct socket *socket) {
    enum status status = OK;
    spin_lock(&sockets_lock);
    if (socket->name.length > 0 || socket->binding || socket->closed)
        status = ERR_INVALID;
    else
        socket->binding = true;
    spin_unlock(&sockets_lock);
    return status;
}

/* sockets_lock held. */
static enum status enter(struct socket *socket, const struct socket_name *name, struct inode *place) {
    if (find_bound(name, place) != NULL)
        return ERR_ADDRESS_IN_USE;
    socket->name = *name;
    socket->place = place;
    list_push_back(bucket_of(name, place), &socket->bound_link);
    return OK;
}

enum status socket_bind(struct socket *socket, const struct socket_name *name) {
    struct inode *place = NULL;
    if (name->length == 0)
        return socket_bind_any(socket);
    enum status status = begin_binding(socket);
    if (status != OK)
        return status;
    if (!is_abstract(name))
        status = make_place(name, &place);
    spin_lock(&sockets_lock);
    if (status == OK)
        status = enter(socket, name, place);
    socket->binding = false;
    spin_unlock(&sockets_lock);
    if (status != OK && place != NULL)
        inode_unref(place);
    return status;
}

enum status socket_bind_any(struct socket *socket) {
    static uint32_t next; /* Protected by sockets_lock */
    struct socket_name name = {.length = 6};
    if (socket->name.length > 0)
        return OK;
    enum status status = begin_binding(socket);
    if (status != OK)
        return status;
    spin_lock(&sockets_lock);
    status = ERR_ADDRESS_IN_USE;
    for (uint32_t tries = 0; tries < 0x1000 && status != OK; tries++) {
        format_string(name.bytes + 1, sizeof(name.bytes) - 1, "%05x", next++ & 0xfffffU);
        status = enter(socket, &name, NULL);
    }
    socket->binding = false;
    spin_unlock(&sockets_lock);
    return status;
}

struct inode *socket_unbind(struct socket *socket) {
    struct inode *place = socket->place;
    list_remove(&socket->bound_link);
    socket->place = NULL;
    return place;
}

/* --- Looking up --------------------------------------------------------------------------------------------------- */

static enum status find_place(const struct socket_name *name, struct inode **out) {
    struct path path;
    path_begin_text(&path, name->bytes);
    spin_lock(&names_lock);
    enum status status = path_find(&path, WALK_FOLLOW, out);
    if (status == OK && !permitted(*out, MAY_WRITE))
        status = ERR_ACCESS;
    if (status == OK && !inode_is(*out, S_IFSOCK))
        status = ERR_CONNECTION_REFUSED;
    if (status == OK)
        inode_ref(*out);
    spin_unlock(&names_lock);
    path_end(&path);
    return status;
}

enum status socket_find(const struct socket_name *name, struct socket **out) {
    struct inode *place = NULL;
    if (name->length == 0)
        return ERR_INVALID;
    enum status status = is_abstract(name) ? OK : find_place(name, &place);
    if (status != OK)
        return status;
    spin_lock(&sockets_lock);
    *out = find_bound(name, place);
    if (*out != NULL)
        socket_ref(*out);
    spin_unlock(&sockets_lock);
    if (place != NULL)
        inode_unref(place);
    return *out != NULL ? OK : ERR_CONNECTION_REFUSED;
}
