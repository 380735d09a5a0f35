/* A plugin of qemu's user-mode emulators that counts the guest's instructions. It prints the count to the file of its
 * argument `out=FILE` when the guest ends; the system calls that the guest makes are not counted, for the host does them.
 * Debian ships no qemu-plugin.h: these are the few declarations of it that are used (qemu, docs/devel/tcg-plugins).
 * POSGATE_PLUGIN_API: the version of that interface which the emulator asks for; benches/router.sh tries them. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct translated;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*call)(plugin_id id, struct translated *block));
void qemu_plugin_register_vcpu_tb_exec_cb(struct translated *block, void (*call)(unsigned cpu, void *data), int flags, void *data);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*call)(plugin_id id, void *data), void *data);
size_t qemu_plugin_tb_n_insns(const struct translated *block);

__attribute__((visibility("default"))) int qemu_plugin_version = POSGATE_PLUGIN_API;

static uint64_t instructions;
static FILE *out;

static void on_block(unsigned cpu, void *count)
{
    (void)cpu;
    instructions += (uintptr_t)count;
}

static void on_translation(plugin_id id, struct translated *block)
{
    (void)id;
    /* 0: the call looks at no register. */
    qemu_plugin_register_vcpu_tb_exec_cb(block, on_block, 0, (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

static void at_exit(plugin_id id, void *data)
{
    (void)id;
    (void)data;
    fprintf(out, "%llu\n", (unsigned long long)instructions);
    fclose(out);
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info, int count, char **arguments)
{
    (void)info;
    if (count != 1 || strncmp(arguments[0], "out=", 4) != 0 || !(out = fopen(arguments[0] + 4, "w"))) {
        fprintf(stderr, "qemu-count: out=FILE, and nothing else\n");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
