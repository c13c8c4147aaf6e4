/*
 * A plugin for qemu's user emulators that counts the instructions executed in
 * each function of our own, memmove and memclr included, and writes the counts
 * when the program ends. instructions_test.go builds and runs it.
 *
 *   gcc -shared -fPIC -O2 -DVERSION=1 -o instructions.so instructions.c
 *   qemu-aarch64 -plugin instructions.so,out=FILE PROGRAM
 *
 * The declarations are of qemu's plugin interface, which came with qemu 4.2 and
 * lets VERSION be 1 up to qemu 8.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
extern void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*cb)(uint64_t, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*cb)(unsigned, void *), int flags, void *data);
extern void qemu_plugin_register_atexit_cb(uint64_t id, void (*cb)(uint64_t, void *), void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
extern const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *insn);

EXPORT int qemu_plugin_version = VERSION;

struct function {
    char *name;
    uint64_t count;
    struct function *next;
};

/* A block of instructions without a jump, as qemu translates it. */
struct block {
    struct function *function;
    uint64_t instructions;
};

static struct function *functions;
static const char *path;

static int ours(const char *name)
{
    return strstr(name, "resnet-go/resnet/") || !strncmp(name, "runtime.memmove", 15) ||
           !strncmp(name, "runtime.memclrNoHeapPointers", 28);
}

static void executed(unsigned cpu, void *data)
{
    struct block *b = data;
    (void)cpu;
    /* Threads run at the same time. */
    __atomic_fetch_add(&b->function->count, b->instructions, __ATOMIC_RELAXED);
}

/* qemu holds a lock while it translates. */
static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
    const char *name = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(tb, 0));
    struct function *f;
    struct block *b;

    (void)id;
    if (!name || !ours(name))
        return;
    for (f = functions; f && strcmp(f->name, name); f = f->next)
        ;
    if (!f) {
        f = calloc(1, sizeof *f);
        f->name = strdup(name);
        f->next = functions;
        functions = f;
    }
    b = malloc(sizeof *b);
    b->function = f;
    b->instructions = qemu_plugin_tb_n_insns(tb);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, 0, b);
}

static void ended(uint64_t id, void *data)
{
    FILE *out = fopen(path, "w");
    struct function *f;

    (void)id, (void)data;
    if (!out) {
        perror(path);
        exit(1);
    }
    for (f = functions; f; f = f->next)
        fprintf(out, "%llu %s\n", (unsigned long long)f->count, f->name);
    fclose(out);
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4)) {
        fprintf(stderr, "the only argument is out=FILE\n");
        return 1;
    }
    path = argv[0] + 4;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
