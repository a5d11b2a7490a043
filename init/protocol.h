/*
 * What travels between the host and init, and the one reader and writer for it.
 *
 * A message is a header of 24 bytes followed by `length` bytes of fields; a field is a tag, a
 * length and that many bytes. All integers are little-endian, nothing is padded. A field may hold
 * fields itself (FIELD_MOUNT, for example). A receiver passes over tags it does not know and never
 * trusts a length: every accessor below is bounded by the buffer it was given.
 *
 * The connections are vsock streams that init opens to the host (CID 2):
 *   PORT_CONTROL  one for the machine's life: messages both ways.
 *   PORT_STREAM   one per stdio stream of a process: one MESSAGE_STREAM from init says which, from
 *                 then on the bytes of that stream and nothing else. End of file is a half-close.
 *                 Any process of the guest can connect, containers' too: FIELD_SECRET tells init's
 *                 connections from theirs.
 *                 A process with a terminal has, of the streams 0 to 2, 0 (to it) and 1 (from it);
 *                 end of file on its stream 0 means that the host's terminal hung up.
 *                 Two more belong to no process: the questions that containers ask the engine's
 *                 name server, and its answers. MESSAGE_RESOLVER says which; then MESSAGE_QUERY
 *                 follows MESSAGE_QUERY on the one and MESSAGE_ANSWER MESSAGE_ANSWER on the other.
 *
 * Order on the control connection: init says HELLO; the host answers SETUP, then one CONTAINER per
 * container; START runs its process; init says EXIT when that is over. EXEC runs a further process
 * in a container that runs. Every message from the host except SIGNAL and RESIZE is answered by
 * exactly one RESULT that carries its sequence number. A CONTAINER, START or EXEC that failed has
 * no EXIT; a prepared process that is killed before START has one. EXIT of a process is sent when
 * all that it wrote before it ended is on its way; of the container's first process, when every
 * stream of it has ended (its PID namespace is gone by then). Streams of an EXEC may go on after
 * its EXIT: processes that it left behind hold them, as they would hold the pipes of an ordinary
 * runtime.
 *
 * This header is the only file that host and guest share; the control socket of vmrt-vmm uses the
 * same encoding (runtime/vmm/control.h).
 */
#ifndef VMRT_INIT_PROTOCOL_H
#define VMRT_INIT_PROTOCOL_H

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PROTOCOL_MAGIC       0x74726d76u /* "vmrt" */
#define PROTOCOL_VERSION     1u
#define PROTOCOL_HEADER_SIZE 24u
/* Arguments and environment are bounded by the guest's own ARG_MAX (2 MiB); leave as much again. */
#define PROTOCOL_LENGTH_MAX (4u << 20)

/* Bytes of FIELD_SECRET. */
#define PROTOCOL_SECRET_SIZE 16u

#define PORT_CONTROL 1024u
#define PORT_STREAM  1025u

enum message_type {
    /* init to host */
    MESSAGE_HELLO = 1,  /* FIELD_RELEASE; init is ready for SETUP */
    MESSAGE_RESULT = 2, /* FIELD_CODE, FIELD_TEXT when the code is not 0 */
    MESSAGE_EXIT = 3,   /* FIELD_PROCESS, FIELD_STATUS: streams were drained before it is sent */
    MESSAGE_LOG = 4,    /* FIELD_TEXT: one line for the host's log */
    MESSAGE_STREAM = 5, /* first on a stream connection: FIELD_PROCESS, _STREAM, _SECRET */
    MESSAGE_NOTIFY = 6, /* FIELD_DATA: a datagram that the container sent to its NOTIFY_SOCKET */
    MESSAGE_OOM = 7, /* the guest's kernel killed a process of the container for want of memory */
    MESSAGE_RESOLVER = 8, /* first on a stream connection: FIELD_STREAM 0 answers, 1 questions;
                             FIELD_SECRET */
    MESSAGE_QUERY = 9,    /* FIELD_DATA, FIELD_TCP: a question to the name server; its sequence
                             number is init's, of those that are still open */
    /* host to init */
    MESSAGE_SETUP = 16,     /* FIELD_SECRET, _TIME, _ENTROPY, FIELD_SLOT*, FIELD_SHARE_TAG */
    MESSAGE_CONTAINER = 17, /* everything about one container; prepares it up to the exec */
    MESSAGE_START = 18,     /* exec the prepared process */
    MESSAGE_SIGNAL = 19,    /* FIELD_PROCESS, FIELD_SIGNAL, FIELD_ALL; no answer */
    MESSAGE_BIND = 20,      /* FIELD_SLOT*: device slots that got an identity after boot */
    MESSAGE_EXEC = 21,      /* FIELD_PROCESS and "the process" below; answered after the exec */
    MESSAGE_RESIZE = 22,    /* FIELD_PROCESS, FIELD_ROWS, FIELD_COLUMNS; no answer */
    MESSAGE_STATS = 23,     /* RESULT carries FIELD_STAT_* */
    MESSAGE_UPDATE = 24,    /* FIELD_PIDS_MAX, FIELD_MEMORY_MAX: those present change */
    MESSAGE_NETWORK = 25,   /* FIELD_LINK*, FIELD_LINK_GONE*, FIELD_NETLINK*: in this order;
                               FIELD_RESOLVER */
    MESSAGE_RECLAIM = 26,   /* drop caches: the host holds something for each file; no answer */
    MESSAGE_ANSWER = 27,    /* FIELD_DATA: to the MESSAGE_QUERY of the same sequence number; empty:
                               there will be none */
    /* engine side to vmrt-vmm: runtime/vmm/control.h takes the numbers from 64 on */
};

enum field_tag {
    FIELD_CODE = 1,       /* u64: positive errno value, 0 for success */
    FIELD_TEXT = 2,       /* string: one line for people */
    FIELD_STATUS = 3,     /* u64: 0..255, 128 + signal when signalled */
    FIELD_PROCESS = 4,    /* u64: 0 is the container's first process */
    FIELD_STREAM = 5,     /* u64: 0 stdin, 1 stdout, 2 stderr; from 3 on FIELD_DESCRIPTORs */
    FIELD_SIGNAL = 6,     /* u64: Linux signal number */
    FIELD_RELEASE = 7,    /* string: uname -r of the guest */
    FIELD_TIME = 8,       /* u64: CLOCK_REALTIME, ns */
    FIELD_ENTROPY = 9,    /* bytes: fresh randomness for the guest's pool */
    FIELD_SLOT = 10,      /* u64: index of a virtio-mmio device slot */
    FIELD_SHARE_TAG = 11, /* string: virtio-fs tag under which the shares are mounted */
    FIELD_ALL = 12,       /* u64: 1 = every process of the container */
    FIELD_DATA = 13,      /* bytes */
    FIELD_SECRET = 14,    /* bytes: PROTOCOL_SECRET_SIZE, of the host's choice; for init alone */
    FIELD_TCP = 15,       /* u64: 1 = asked over TCP; absent or 0: UDP */

    /* RESULT of MESSAGE_STATS; the container's cgroup in the guest */
    FIELD_STAT_PIDS = 16,         /* u64: pids.current */
    FIELD_STAT_PIDS_MAX = 17,     /* u64: pids.max; absent: no limit */
    FIELD_STAT_MEMORY = 18,       /* u64: memory.current, bytes */
    FIELD_STAT_MEMORY_PEAK = 19,  /* u64: memory.peak, bytes */
    FIELD_STAT_MEMORY_TOTAL = 20, /* u64: MemTotal of the guest, bytes */
    FIELD_STAT_MEMORY_CACHE = 21, /* u64: "file" of memory.stat, bytes */
    FIELD_STAT_OOM_KILLS = 22,    /* u64: "oom_kill" of memory.events */
    FIELD_STAT_CPU_USER = 23,     /* u64: user_usec of cpu.stat */
    FIELD_STAT_CPU_SYSTEM = 24,   /* u64: system_usec of cpu.stat */

    /* MESSAGE_CONTAINER, MESSAGE_EXEC: the process */
    FIELD_ARG = 32,               /* string, repeated, in order */
    FIELD_ENV = 33,               /* string NAME=VALUE, repeated, in order */
    FIELD_CWD = 34,               /* string: absolute path in the container */
    FIELD_UID = 35,               /* u64 */
    FIELD_GID = 36,               /* u64 */
    FIELD_GROUP = 37,             /* u64, repeated: additionalGids */
    FIELD_UMASK = 38,             /* u64; absent: 0022 */
    FIELD_CAPABILITIES = 39,      /* fields FIELD_CAP_*; absent: an empty set for each */
    FIELD_CAP_BOUNDING = 40,      /* u64: bit n is capability n */
    FIELD_CAP_EFFECTIVE = 41,     /* u64 */
    FIELD_CAP_INHERITABLE = 42,   /* u64 */
    FIELD_CAP_PERMITTED = 43,     /* u64 */
    FIELD_CAP_AMBIENT = 44,       /* u64 */
    FIELD_NO_NEW_PRIVILEGES = 45, /* u64: 0 or 1 */
    FIELD_OOM_SCORE_ADJ = 46,     /* u64 holding an int64 */
    FIELD_RLIMIT = 47,            /* fields FIELD_RESOURCE, FIELD_SOFT, FIELD_HARD */
    FIELD_RESOURCE = 48,          /* u64: RLIMIT_* number of the guest's ABI */
    FIELD_SOFT = 49,              /* u64 */
    FIELD_HARD = 50,              /* u64 */
    FIELD_TERMINAL = 51,          /* u64: 0 or 1 */
    FIELD_SECCOMP = 52,           /* bytes: struct sock_filter[] for the workload */
    FIELD_SECCOMP_FLAGS = 53,     /* u64: SECCOMP_FILTER_FLAG_*; absent: 0 */
    FIELD_ROWS = 54,              /* u64: height of the terminal, characters; absent or 0: unset */
    FIELD_COLUMNS = 55,           /* u64: its width */
    FIELD_SCHEDULER = 56,         /* bytes: struct sched_attr of sched_setattr(2) */
    FIELD_IO_PRIORITY = 57,       /* u64: as ioprio_set(2) takes it */
    FIELD_PERSONALITY = 58,       /* u64: as personality(2) takes it */
    FIELD_DESCRIPTOR = 59, /* u64, repeated: enum descriptor_kind of its descriptor 3, 4 … */

    /* MESSAGE_CONTAINER: the surroundings */
    FIELD_ID = 64,            /* string: the container's id */
    FIELD_HOSTNAME = 65,      /* string */
    FIELD_DOMAINNAME = 66,    /* string */
    FIELD_NAMESPACES = 67,    /* u64: CLONE_NEW* flags for the workload */
    FIELD_ROOT_SHARE = 68,    /* u64: index of the share that is the root filesystem */
    FIELD_ROOT_READONLY = 69, /* u64: 0 or 1 */
    FIELD_MOUNT = 70,         /* fields FIELD_MOUNT_*; in the order they are to be made */
    FIELD_MOUNT_TARGET = 71,  /* string: absolute path in the container */
    FIELD_MOUNT_TYPE = 72,    /* string: proc, tmpfs, … ; "share" for a directory of the host */
    FIELD_MOUNT_SOURCE = 73,  /* string */
    FIELD_MOUNT_FLAGS = 74,   /* u64: MS_* flags */
    FIELD_MOUNT_DATA = 75,    /* string: filesystem options */
    FIELD_MOUNT_SHARE = 76,   /* u64: index of the share, type "share" only */
    FIELD_MOUNT_IS_FILE = 77, /* u64: 1 when the share is a single file */
    FIELD_MASKED_PATH = 78,   /* string, repeated */
    FIELD_READONLY_PATH = 79, /* string, repeated */
    FIELD_SYSCTL = 80,        /* fields FIELD_KEY, FIELD_VALUE */
    FIELD_KEY = 81,           /* string */
    FIELD_VALUE = 82,         /* string */
    FIELD_MOUNT_PROPAGATION = 83, /* u64: MS_PRIVATE, MS_SLAVE, … with MS_REC or 0 */
    FIELD_DEVICE = 84,        /* fields FIELD_MOUNT_TARGET, FIELD_DEVICE_*, FIELD_UID, FIELD_GID */
    FIELD_DEVICE_MODE = 85,   /* u64: type and permission bits as for mknod */
    FIELD_DEVICE_NUMBER = 86, /* u64: major << 32 | minor */
    FIELD_STATE = 87,         /* string: vmrt-vmm's answer to CONTROL_STATUS */
    FIELD_UID_MAP = 88,       /* fields FIELD_ID_*, repeated; with CLONE_NEWUSER */
    FIELD_GID_MAP = 89,       /* likewise */
    FIELD_ID_INSIDE = 90,     /* u64: first id in the container */
    FIELD_ID_OUTSIDE = 91,    /* u64: the same id in the guest, which is that of the host's files */
    FIELD_ID_COUNT = 92,      /* u64 */
    FIELD_PIDS_MAX = 93,      /* u64: pids.max of the container's cgroup; 0: no limit */
    FIELD_MEMORY_MAX = 94,    /* u64: memory.max of the container's cgroup, bytes; 0: no limit */
    FIELD_NOTIFY = 95,        /* u64: 1 = make NOTIFY_SOCKET, send what arrives as MESSAGE_NOTIFY */
    /*
     * A hook that runs in the container's namespaces before the entrypoint. Kind 0,
     * createContainer, is a file of the host and comes as a share; it runs as root once the mounts
     * are made. Kind 1, startContainer, is a path in the container; it runs at START as what the
     * entrypoint will be: its user, with its capabilities (as with runc).
     */
    FIELD_HOOK = 96,          /* fields FIELD_HOOK_*, FIELD_MOUNT_SHARE, FIELD_ARG*, FIELD_ENV* */
    FIELD_HOOK_KIND = 97,     /* u64: 0 createContainer, 1 startContainer */
    FIELD_HOOK_PATH = 98,     /* string: its path, for kind 0 in messages only */
    FIELD_HOOK_TIMEOUT = 99,  /* u64: seconds; 0: none */
    FIELD_HOOK_STATE = 100,   /* string: the container's state, for its stdin */
    FIELD_MOUNT_COPYUP = 101, /* u64: 1 = fill the tmpfs with what the mount point holds */
    FIELD_MOUNT_ATTRIBUTES =
        102, /* u64: MOUNT_ATTR_* to set on the whole subtree (rro, rnosuid …) */
    FIELD_MOUNT_ATTRIBUTES_CLEAR = 103, /* u64: MOUNT_ATTR_* to clear on the whole subtree */
    FIELD_TIME_OFFSET =
        104,             /* fields FIELD_KEY (monotonic, boottime), FIELD_SECONDS, _NANOSECONDS */
    FIELD_SECONDS = 105, /* u64 holding an int64 */
    FIELD_NANOSECONDS = 106, /* u64 */

    /* MESSAGE_NETWORK */
    FIELD_LINK = 128, /* fields FIELD_LINK_*: an interface that appeared */
    FIELD_LINK_INDEX =
        129,               /* u64: its ifindex in the host's namespace; netlink messages use that */
    FIELD_LINK_NAME = 130, /* string */
    FIELD_LINK_MAC = 131,  /* bytes: 6; absent: the guest keeps what it has */
    FIELD_LINK_MTU = 132,  /* u64 */
    FIELD_LINK_FLAGS = 133,  /* u64: IFF_UP, IFF_NOARP, IFF_MULTICAST … as on the host */
    FIELD_LINK_SLOT = 134,   /* u64: device slot; filled in by vmrt-vmm */
    FIELD_LINK_QUEUES = 135, /* u64: queue pairs: as many TAP descriptors belong to it */
    FIELD_LINK_GONE = 136,   /* u64: FIELD_LINK_INDEX of an interface that disappeared */
    /*
     * bytes: one struct nlmsghdr with its payload, as the host's kernel gave it: RTM_NEWADDR,
     * RTM_DELADDR, RTM_NEWROUTE, RTM_NEWRULE, RTM_NEWNEIGH … Interfaces are named by the host's
     * index (that of lo is 1 on both sides); init puts the guest's in.
     */
    FIELD_NETLINK = 137,
    /* u64: 1 = the host's namespace has a name server at RESOLVER_ADDRESS; init is to carry
     * questions to it from there. May come again: then what came before is over. */
    FIELD_RESOLVER = 138,
    /* u64: whether the host's interface has a carrier; in FIELD_LINK (absent: it has) and … */
    FIELD_LINK_CARRIER = 144,
    FIELD_LINK_STATE = 145, /* fields FIELD_LINK_INDEX, FIELD_LINK_CARRIER; for vmrt-vmm alone */
    /* u64: 1: after the TAP descriptors, as many of /dev/vhost-net belong to the interface */
    FIELD_LINK_VHOST = 146,
};

/*
 * Where Docker's own name server is in the network namespace of a container on a user-defined
 * network (libnetwork, resolverIPSandbox), host byte order.
 */
#define RESOLVER_ADDRESS 0x7f00000bu
#define RESOLVER_PORT    53u
/* RFC 1035 §4.1.1, §4.2.2: a message is a header at least, and at most what TCP can say. */
#define RESOLVER_MESSAGE_MIN 12u
#define RESOLVER_MESSAGE_MAX 65535u

/*
 * What a process has beyond its standard streams. Each is the stream of its own number, with or
 * without a terminal.
 */
enum descriptor_kind {
    DESCRIPTOR_INPUT = 0,  /* a pipe that the process reads */
    DESCRIPTOR_OUTPUT = 1, /* a pipe that it writes */
    DESCRIPTOR_SOCKET = 2, /* a stream socket: the connection itself, bytes go both ways */
};

/* How many FIELD_DESCRIPTORs a process may have. */
#define PROTOCOL_DESCRIPTORS_MAX 56u

struct protocol_header {
    uint16_t type;      /* enum message_type */
    uint32_t container; /* 0 is the machine's first container */
    uint32_t sequence;  /* copied into the RESULT */
    uint32_t length;    /* bytes of fields that follow */
};

/* A read-only window on bytes that somebody else wrote. */
struct protocol_reader {
    const uint8_t *data;
    size_t length;
};

struct protocol_field {
    uint16_t tag;
    struct protocol_reader value;
};

static inline uint16_t protocol_load16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return le16toh(v);
}

static inline uint32_t protocol_load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

static inline uint64_t protocol_load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

/**
 * protocol_read_header() - check and decode a message header.
 * @data:   at least PROTOCOL_HEADER_SIZE bytes.
 * @header: filled in whatever is returned.
 * Return: 0, or -EPROTO for a wrong magic, version or an excessive length.
 */
static inline int protocol_read_header(const void *data, struct protocol_header *header)
{
    const uint8_t *p = data;

    header->type = protocol_load16(p + 6);
    header->container = protocol_load32(p + 8);
    header->sequence = protocol_load32(p + 12);
    header->length = protocol_load32(p + 16);
    if (protocol_load32(p) != PROTOCOL_MAGIC || protocol_load16(p + 4) != PROTOCOL_VERSION)
        return -EPROTO;
    return header->length <= PROTOCOL_LENGTH_MAX ? 0 : -EPROTO;
}

/**
 * protocol_next() - take the next field off the front of @reader.
 * Return: 1 with @field filled in, 0 at the end, -EPROTO when a field does not fit.
 */
static inline int protocol_next(struct protocol_reader *reader, struct protocol_field *field)
{
    uint32_t length;

    if (reader->length == 0)
        return 0;
    if (reader->length < 8)
        return -EPROTO;
    field->tag = protocol_load16(reader->data);
    length = protocol_load32(reader->data + 4);
    if (length > reader->length - 8)
        return -EPROTO;
    field->value.data = reader->data + 8;
    field->value.length = length;
    reader->data += 8 + length;
    reader->length -= 8 + (size_t)length;
    return 1;
}

/* A field as u64; a field of another size reads as 0 and sets *@bad. */
static inline uint64_t protocol_u64(const struct protocol_field *field, bool *bad)
{
    if (field->value.length != 8) {
        *bad = true;
        return 0;
    }
    return protocol_load64(field->value.data);
}

/* A field as a NUL-terminated string in place; sets *@bad and gives "" when it is not one. */
static inline const char *protocol_string(const struct protocol_field *field, bool *bad)
{
    const struct protocol_reader *v = &field->value;

    if (v->length == 0 || v->data[v->length - 1] != '\0' ||
        memchr(v->data, '\0', v->length) != v->data + v->length - 1) {
        *bad = true;
        return "";
    }
    return (const char *)v->data;
}

/*
 * The first field with @tag in @reader, which is left as it was.
 * Return: 1 found, 0 absent, -EPROTO malformed.
 */
static inline int protocol_find(struct protocol_reader reader, uint16_t tag,
                                struct protocol_field *field)
{
    int ret;

    while ((ret = protocol_next(&reader, field)) == 1)
        if (field->tag == tag)
            return 1;
    return ret;
}

/* Builds one message in memory that grows; the first failure sticks in `failed`. */
struct protocol_writer {
    uint8_t *data; /* free() it when done; starts with the header */
    size_t length, capacity;
    bool failed;
};

static inline uint8_t *protocol_reserve(struct protocol_writer *writer, size_t length)
{
    uint8_t *at;

    if (writer->failed || length > PROTOCOL_HEADER_SIZE + PROTOCOL_LENGTH_MAX - writer->length) {
        writer->failed = true;
        return NULL;
    }
    if (writer->capacity - writer->length < length) {
        size_t capacity = (writer->length + length) * 2;
        uint8_t *data = realloc(writer->data, capacity);

        if (!data) {
            writer->failed = true;
            return NULL;
        }
        writer->data = data;
        writer->capacity = capacity;
    }
    at = writer->data + writer->length;
    writer->length += length;
    return at;
}

static inline void protocol_store32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof(v));
}

static inline void protocol_store16(uint8_t *p, uint16_t v)
{
    v = htole16(v);
    memcpy(p, &v, sizeof(v));
}

/* Starts a message; @writer must be zeroed or finished with (its memory is reused). */
static inline void protocol_begin(struct protocol_writer *writer, uint16_t type, uint32_t container,
                                  uint32_t sequence)
{
    uint8_t *p;

    writer->length = 0;
    writer->failed = false;
    p = protocol_reserve(writer, PROTOCOL_HEADER_SIZE);
    if (!p)
        return;
    memset(p, 0, PROTOCOL_HEADER_SIZE);
    protocol_store32(p, PROTOCOL_MAGIC);
    protocol_store16(p + 4, PROTOCOL_VERSION);
    protocol_store16(p + 6, type);
    protocol_store32(p + 8, container);
    protocol_store32(p + 12, sequence);
}

static inline void protocol_put_bytes(struct protocol_writer *writer, uint16_t tag,
                                      const void *data, size_t length)
{
    uint8_t *p = length <= PROTOCOL_LENGTH_MAX ? protocol_reserve(writer, 8 + length) : NULL;

    if (!p) {
        writer->failed = true;
        return;
    }
    protocol_store16(p, tag);
    protocol_store16(p + 2, 0);
    protocol_store32(p + 4, (uint32_t)length);
    if (length)
        memcpy(p + 8, data, length);
}

static inline void protocol_put_u64(struct protocol_writer *writer, uint16_t tag, uint64_t value)
{
    value = htole64(value);
    protocol_put_bytes(writer, tag, &value, sizeof(value));
}

static inline void protocol_put_string(struct protocol_writer *writer, uint16_t tag,
                                       const char *text)
{
    protocol_put_bytes(writer, tag, text, strlen(text) + 1);
}

/* Opens a field that holds fields; returns a mark for protocol_close(). */
static inline size_t protocol_open(struct protocol_writer *writer, uint16_t tag)
{
    size_t mark = writer->length;

    protocol_put_bytes(writer, tag, NULL, 0);
    return mark;
}

static inline void protocol_close(struct protocol_writer *writer, size_t mark)
{
    if (!writer->failed)
        protocol_store32(writer->data + mark + 4, (uint32_t)(writer->length - mark - 8));
}

/**
 * protocol_finish() - write the length into the header.
 * Return: 0 with the message in @writer->data, or -EMSGSIZE when it grew too large or memory
 * ran out.
 */
static inline int protocol_finish(struct protocol_writer *writer)
{
    if (writer->failed)
        return -EMSGSIZE;
    protocol_store32(writer->data + 16, (uint32_t)(writer->length - PROTOCOL_HEADER_SIZE));
    return 0;
}

#endif
