/* Programs of BPF that change addresses of sockets. */
#include "init/steer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/io.h"

#define PROGRAM_MAX 32

struct program {
    struct bpf_insn code[PROGRAM_MAX];
    size_t length;
    size_t exits[PROGRAM_MAX]; /* jumps to the end, which is not known yet */
    size_t exit_count;
};

/*
 * The hooks where a socket's peer is named (linux/bpf.h, enum bpf_attach_type). Those of IPv6 see
 * addresses of IPv4 in mapped form; sendmsg(2) has none for these, because the kernel goes on with
 * IPv4's (net/ipv6/udp.c, udpv6_sendmsg()).
 */
static const struct hook {
    enum bpf_attach_type type;
    bool to_peer; /* from what the workload says to what is meant; else back */
    bool mapped;
} hooks[STEER_HOOKS] = {
    { BPF_CGROUP_INET4_CONNECT, true, false },     { BPF_CGROUP_UDP4_SENDMSG, true, false },
    { BPF_CGROUP_UDP4_RECVMSG, false, false },     { BPF_CGROUP_INET4_GETPEERNAME, false, false },
    { BPF_CGROUP_INET6_CONNECT, true, true },      { BPF_CGROUP_UDP6_RECVMSG, false, true },
    { BPF_CGROUP_INET6_GETPEERNAME, false, true },
};

static int bpf(int command, union bpf_attr *attributes)
{
    return (int)syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

static void put(struct program *program, uint8_t code, uint8_t target, uint8_t source,
                int16_t offset, int32_t value)
{
    program->code[program->length++] = (struct bpf_insn) {
        .code = code, .dst_reg = target, .src_reg = source, .off = offset, .imm = value
    };
}

/* On to the end unless the 32 bits at @offset of the context are @value. */
static void put_expect(struct program *program, size_t offset, uint32_t value)
{
    put(program, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_6, (int16_t)offset, 0);
    program->exits[program->exit_count++] = program->length;
    put(program, BPF_JMP32 | BPF_JNE | BPF_K, BPF_REG_2, 0, 0, (int32_t)value);
}

/* On to the end unless the socket is of the network namespace @cookie. */
static void put_expect_namespace(struct program *program, uint64_t cookie)
{
    put(program, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_6, 0, 0);
    put(program, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_netns_cookie);
    /* BPF_LD and BPF_IMM are 0. */
    put(program, BPF_DW, BPF_REG_2, 0, 0, (int32_t)cookie);
    put(program, 0, 0, 0, 0, (int32_t)(cookie >> 32));
    program->exits[program->exit_count++] = program->length;
    put(program, BPF_JMP | BPF_JNE | BPF_X, BPF_REG_0, BPF_REG_2, 0, 0);
}

static void put_expect_address(struct program *program, uint32_t address, bool mapped)
{
    static const uint32_t prefix[3] = { 0, 0, 0xffff };
    const size_t at = offsetof(struct bpf_sock_addr, user_ip6);

    for (size_t i = 0; mapped && i < 3; i++)
        put_expect(program, at + i * 4, htonl(prefix[i]));
    put_expect(program, mapped ? at + 12 : offsetof(struct bpf_sock_addr, user_ip4),
               htonl(address));
}

static void build(struct program *program, bool mapped, uint64_t cookie, uint32_t address,
                  uint16_t from, uint16_t to)
{
    const size_t port = offsetof(struct bpf_sock_addr, user_port);

    put(program, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0);
    put_expect_address(program, address, mapped);
    put_expect(program, port, htons(from));
    put_expect_namespace(program, cookie);
    put(program, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, htons(to));
    put(program, BPF_STX | BPF_MEM | BPF_W, BPF_REG_6, BPF_REG_2, (int16_t)port, 0);
    for (size_t i = 0; i < program->exit_count; i++)
        program->code[program->exits[i]].off = (int16_t)(program->length - program->exits[i] - 1);
    /* The system call goes on, whatever was found. */
    put(program, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 1);
    put(program, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static int load(const struct program *program, enum bpf_attach_type type)
{
    union bpf_attr attributes;
    int fd;

    memset(&attributes, 0, sizeof(attributes));
    attributes.prog_type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
    attributes.expected_attach_type = type;
    attributes.insns = (uintptr_t)program->code;
    attributes.insn_cnt = (uint32_t)program->length;
    attributes.license = (uintptr_t) "";
    memcpy(attributes.prog_name, "vmrt_resolver", sizeof("vmrt_resolver"));
    fd = bpf(BPF_PROG_LOAD, &attributes);
    return fd < 0 ? -errno : fd;
}

/* Return: the link, or -errno. */
static int attach(int program, int cgroup, enum bpf_attach_type type)
{
    union bpf_attr attributes;
    int fd;

    memset(&attributes, 0, sizeof(attributes));
    attributes.link_create.prog_fd = (uint32_t)program;
    attributes.link_create.target_fd = (uint32_t)cgroup;
    attributes.link_create.attach_type = type;
    fd = bpf(BPF_LINK_CREATE, &attributes);
    return fd < 0 ? -errno : fd;
}

/* The namespace that the caller is in. */
static int find_namespace(uint64_t *cookie)
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof(*cookie);

    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &length) < 0)
        return -errno;
    return 0;
}

void steer_init(struct steer *steer)
{
    for (size_t i = 0; i < STEER_HOOKS; i++)
        steer->links[i] = -1;
}

void steer_end(struct steer *steer)
{
    for (size_t i = 0; i < STEER_HOOKS; i++)
        io_close(&steer->links[i]);
}

int steer_begin(struct steer *steer, int cgroup, uint32_t address, uint16_t from, uint16_t to)
{
    uint64_t cookie = 0;
    int ret = find_namespace(&cookie);

    for (size_t i = 0; i < STEER_HOOKS && ret >= 0; i++) {
        struct program program = { .length = 0 };
        _cleanup_close_ int fd = -1;

        build(&program, hooks[i].mapped, cookie, address, hooks[i].to_peer ? from : to,
              hooks[i].to_peer ? to : from);
        ret = fd = load(&program, hooks[i].type);
        if (ret >= 0)
            ret = steer->links[i] = attach(fd, cgroup, hooks[i].type);
        /* A kernel without IPv6 has no such hooks, and no such sockets. */
        if (ret < 0 && hooks[i].mapped && i > 0 && steer->links[0] >= 0)
            ret = 0;
    }
    if (ret < 0)
        steer_end(steer);
    return ret < 0 ? ret : 0;
}
