/* An emulated NVML: the functions of libnvidia-ml.so.1 that PowerTrain calls, without any GPU.
 *
 * It follows the NVML API reference: what needs root, what is refused with which error, that clocks can be locked
 * and not read back, that the power limit and the locks outlive the process that sets them. The state of its two
 * GPUs is the file that the environment variable NVML_EMULATED_STATE names, mapped into memory, as the state of
 * real ones is in the hardware. Without the variable the driver is "not loaded".
 *
 * With -DOLD it lacks functions that old drivers lack. Tests set and read the state with emulated_set,
 * emulated_get and emulated_fail. Numbers are of no particular GPU.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { /* nvmlReturn_t */
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15
};
enum { SW_POWER_CAP = 0x4 }; /* nvmlClocksEventReasons */
enum { GPUS = 2 };
#define CLOCK_MEM 2

typedef int64_t number;

/* Of each GPU, with what it is at first. `no_*`: the feature is not supported. */
#define FIELDS(X) \
    X(limit_mw, 700000) X(least_mw, 200000) X(most_mw, 700000) X(default_mw, 700000) X(out_of_band_mw, 0) \
    X(graphics_lock, 0) X(memory_lock, 0) X(busy_permille, 0) X(temperature, 41) X(reasons, 0) \
    X(arch, 9) X(lost, 0) X(persistence, 1) X(energy_uj, 5000000) X(energy_at_ns, 0) X(writes, 0) \
    X(no_power, 0) X(no_energy, 0) X(no_limit, 0) X(no_clocks, 0) X(no_temperature, 0) X(no_reasons, 0) \
    X(one_memory_clock, 0) X(rounds_limit, 0)
/* Of the whole machine. `clock_ns`: the time, where it is not that of the machine. */
#define SYSTEM(X) X(root, 1) X(gpus, GPUS) X(loaded, 1) X(clock_ns, 0) X(fail_code, 0) X(fail_after, 0)

#define DECLARE(name, value) number name;
struct gpu { FIELDS(DECLARE) };
struct state { struct gpu gpu[GPUS]; SYSTEM(DECLARE) char fail_in[80]; number made; };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int users = 0;

/* -- the state ---------------------------------------------------------------------------------------------- */

static void make(struct state *s) {
#define AT_FIRST(name, value) s->gpu[i].name = value;
    for (int i = 0; i < GPUS; i++) { FIELDS(AT_FIRST) }
#define AT_FIRST_HERE(name, value) s->name = value;
    SYSTEM(AT_FIRST_HERE)
    s->made = 1;
}

static struct state *state(void) {
    static struct state *mapped = NULL;
    static char path[4096];
    const char *wanted = getenv("NVML_EMULATED_STATE");
    if (!wanted || !*wanted) return NULL;
    if (mapped && !strcmp(path, wanted)) return mapped;
    int file = open(wanted, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0 || ftruncate(file, sizeof(struct state))) return NULL;
    if (mapped) munmap(mapped, sizeof(struct state));
    mapped = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED) return mapped = NULL;
    snprintf(path, sizeof path, "%s", wanted);
    if (!mapped->made) make(mapped);
    return mapped;
}

/* -- the physics -------------------------------------------------------------------------------------------- */

static const unsigned MEMORY_MHZ[] = {2600, 1600};
static const unsigned GRAPHICS_MHZ[] = {1800, 1500, 1200, 900, 600};
enum { IDLE_MHZ = 300, SLOW_MEMORY_LACKS = 2 }; /* the two highest graphics clocks */

static unsigned memory_clocks(const struct gpu *g) { return g->one_memory_clock ? 1 : 2; }

static double uncapped_w(const struct gpu *g, double graphics_mhz) {
    double memory_mhz = g->memory_lock ? g->memory_lock : MEMORY_MHZ[0];
    return 70 + g->busy_permille / 1e3 * 700 * pow(graphics_mhz / 1800, 2) * (0.7 + 0.3 * memory_mhz / 2600);
}

static number enforced_mw(const struct gpu *g) {
    return g->out_of_band_mw && g->out_of_band_mw < g->limit_mw ? g->out_of_band_mw : g->limit_mw;
}

static double asked_mhz(const struct gpu *g) { return g->graphics_lock ? g->graphics_lock : GRAPHICS_MHZ[0]; }

static double power_w(const struct gpu *g) { return fmin(uncapped_w(g, asked_mhz(g)), enforced_mw(g) / 1e3); }

/* The clock: an idle GPU rests below its lock, one at its limit slows down until it keeps it. */
static double graphics_mhz(const struct gpu *g) {
    if (!g->busy_permille) return fmin(asked_mhz(g), IDLE_MHZ);
    double above_w = uncapped_w(g, asked_mhz(g)) - 70, allowed_w = enforced_mw(g) / 1e3 - 70;
    return asked_mhz(g) * (above_w > allowed_w ? sqrt(allowed_w / above_w) : 1);
}

static number now_ns(const struct state *s) {
    if (s->clock_ns) return s->clock_ns;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (number)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Counts the energy up to now; called before anything changes that the power depends on. */
static void count(struct state *s) {
    number now = now_ns(s);
    for (int i = 0; i < GPUS; i++) {
        struct gpu *g = &s->gpu[i];
        if (g->energy_at_ns && now > g->energy_at_ns)
            g->energy_uj += (number)llround(power_w(g) * (double)(now - g->energy_at_ns) / 1e3);
        g->energy_at_ns = now;
    }
}

/* -- for tests ---------------------------------------------------------------------------------------------- */

static number *field(struct state *s, int gpu, const char *name) {
#define IS_FIELD(f, value) if (!strcmp(name, #f)) return &s->gpu[gpu].f;
    FIELDS(IS_FIELD)
#define IS_SYSTEM(f, value) if (!strcmp(name, #f)) return &s->f;
    SYSTEM(IS_SYSTEM)
    fprintf(stderr, "the emulated NVML has no field %s\n", name);
    abort();
}

number emulated_get(int gpu, const char *name) { return *field(state(), gpu, name); }

void emulated_set(int gpu, const char *name, number value) {
    pthread_mutex_lock(&mutex);
    struct state *s = state();
    count(s);
    *field(s, gpu, name) = value;
    count(s);
    pthread_mutex_unlock(&mutex);
}

/* Lets a function fail with an error from its `after + 1`th call on, until it is called with another function. */
void emulated_fail(const char *function, int code, int after) {
    struct state *s = state();
    snprintf(s->fail_in, sizeof s->fail_in, "%s", function);
    s->fail_code = code;
    s->fail_after = after;
}

/* -- entry -------------------------------------------------------------------------------------------------- */

typedef struct gpu *handle;

static int failed(struct state *s, const char *function) {
    if (strcmp(s->fail_in, function)) return SUCCESS;
    if (s->fail_after-- > 0) return SUCCESS;
    s->fail_after = 0;
    return (int)s->fail_code;
}

/* A handle is the number of the GPU and one, so that it means the same in every state. */
#define ENTER(device) \
    struct state *s = state(); \
    if (!users || !s) return UNINITIALIZED; \
    int failure = failed(s, __func__); \
    if (failure) return failure; \
    intptr_t number_of = (intptr_t)(device); \
    if (number_of < 1 || number_of > GPUS) return INVALID_ARGUMENT; \
    struct gpu *g = &s->gpu[number_of - 1]; \
    if (g->lost) return GPU_IS_LOST;

#define READ(function, type, unless, value) \
    int function(handle device, type *result) { \
        ENTER(device) \
        if (!result) return INVALID_ARGUMENT; \
        if (unless) return NOT_SUPPORTED; \
        pthread_mutex_lock(&mutex); \
        count(s); \
        *result = (type)(value); \
        pthread_mutex_unlock(&mutex); \
        return SUCCESS; \
    }

/* Root alone may write: "Requires root/admin permissions" (group Device Commands). */
#define WRITE(unless, valid, change) \
    if (unless) return NOT_SUPPORTED; \
    if (!s->root) return NO_PERMISSION; \
    if (!(valid)) return INVALID_ARGUMENT; \
    pthread_mutex_lock(&mutex); \
    count(s); \
    change; \
    g->writes++; \
    pthread_mutex_unlock(&mutex); \
    return SUCCESS;

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    struct state *s = state();
    if (!s || !s->loaded) return DRIVER_NOT_LOADED;
    int failure = failed(s, __func__);
    if (failure) return failure;
    users++;
    return SUCCESS;
}

int nvmlShutdown(void) {
    if (!users) return UNINITIALIZED;
    users--;
    return SUCCESS;
}

const char *nvmlErrorString(int code) {
    (void)code;
    return "an error of the emulated NVML";
}

/* -- the driver --------------------------------------------------------------------------------------------- */

static int text(char *to, unsigned length, const char *from) {
    if (strlen(from) + 1 > length) return INSUFFICIENT_SIZE;
    strcpy(to, from);
    return SUCCESS;
}

int nvmlSystemGetDriverVersion(char *to, unsigned length) { return text(to, length, "emulated-580.1"); }
int nvmlSystemGetNVMLVersion(char *to, unsigned length) { return text(to, length, "emulated-13.580.1"); }

int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    *version = 12040;
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *found) {
    if (!users || !state()) return UNINITIALIZED;
    *found = (unsigned)state()->gpus;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, handle *device) {
    if (!users || !state()) return UNINITIALIZED;
    if (index >= state()->gpus) return INVALID_ARGUMENT;
    *device = (handle)(intptr_t)(index + 1);
    return state()->gpu[index].lost ? GPU_IS_LOST : SUCCESS;
}

int nvmlDeviceGetName(handle device, char *to, unsigned length) {
    ENTER(device)
    return text(to, length, "NVIDIA Emulated GPU");
}

int nvmlDeviceGetUUID(handle device, char *to, unsigned length) {
    ENTER(device)
    char uuid[] = "GPU-e0000000-0000-4000-8000-000000000000";
    uuid[sizeof uuid - 2] = (char)('0' + number_of);
    return text(to, length, uuid);
}

/* nvmlPciInfo_t: the GPUs sit on the buses 1 and 2. */
struct pci { char legacy[16]; unsigned domain, bus, device, id, subsystem; char address[32]; };

int nvmlDeviceGetPciInfo_v3(handle device, struct pci *to) {
    ENTER(device)
    memset(to, 0, sizeof *to);
    to->bus = (unsigned)number_of;
    snprintf(to->address, sizeof to->address, "00000000:%02X:00.0", to->bus);
    return SUCCESS;
}

READ(nvmlDeviceGetPersistenceMode, unsigned, 0, g->persistence)
READ(nvmlDeviceGetMaxPcieLinkGeneration, unsigned, 0, 5)
READ(nvmlDeviceGetMaxPcieLinkWidth, unsigned, 0, 16)

/* -- sensors ------------------------------------------------------------------------------------------------ */

#define REASONS (g->reasons | (uncapped_w(g, asked_mhz(g)) > power_w(g) ? SW_POWER_CAP : 0))

READ(nvmlDeviceGetPowerUsage, unsigned, g->no_power, llround(power_w(g) * 1e3))
READ(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, g->no_reasons, REASONS)

struct utilization { unsigned gpu, memory; };
int nvmlDeviceGetUtilizationRates(handle device, struct utilization *result) {
    ENTER(device)
    result->gpu = (unsigned)(g->busy_permille / 10);
    result->memory = 0;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(handle device, unsigned sensor, unsigned *result) {
    ENTER(device)
    if (sensor) return INVALID_ARGUMENT;
    if (g->no_temperature) return NOT_SUPPORTED;
    *result = (unsigned)g->temperature;
    return SUCCESS;
}

int nvmlDeviceGetClockInfo(handle device, unsigned type, unsigned *result) {
    ENTER(device)
    double memory_mhz = g->memory_lock ? (double)g->memory_lock : MEMORY_MHZ[0];
    *result = (unsigned)lround(type == CLOCK_MEM ? memory_mhz : graphics_mhz(g));
    return SUCCESS;
}

#ifndef OLD
READ(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, g->no_energy, g->energy_uj / 1000)
READ(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, g->no_reasons, REASONS)
READ(nvmlDeviceGetArchitecture, unsigned, 0, g->arch)

struct temperature { unsigned version, sensor; int celsius; };
int nvmlDeviceGetTemperatureV(handle device, struct temperature *result) {
    ENTER(device)
    if (g->no_temperature) return NOT_SUPPORTED;
    result->celsius = (int)g->temperature;
    return SUCCESS;
}
#endif

/* -- the power limit ---------------------------------------------------------------------------------------- */

READ(nvmlDeviceGetPowerManagementLimit, unsigned, g->no_limit, g->limit_mw)
READ(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, g->no_limit, g->default_mw)
READ(nvmlDeviceGetEnforcedPowerLimit, unsigned, g->no_limit, enforced_mw(g))

int nvmlDeviceGetPowerManagementLimitConstraints(handle device, unsigned *least, unsigned *most) {
    ENTER(device)
    if (g->no_limit) return NOT_SUPPORTED;
    *least = (unsigned)g->least_mw;
    *most = (unsigned)g->most_mw;
    return SUCCESS;
}

int nvmlDeviceSetPowerManagementLimit(handle device, unsigned limit_mw) {
    ENTER(device)
    WRITE(g->no_limit, limit_mw >= g->least_mw && limit_mw <= g->most_mw,
          g->limit_mw = g->rounds_limit ? limit_mw / 10000 * 10000 : limit_mw)
}

/* -- clocks ------------------------------------------------------------------------------------------------- */

static int list(const unsigned *from, unsigned length, unsigned *room, unsigned *to) {
    unsigned had = *room;
    *room = length;
    if (had < length || !to) return INSUFFICIENT_SIZE;
    memcpy(to, from, length * sizeof *from);
    return SUCCESS;
}

static int has(const unsigned *values, unsigned length, unsigned value) {
    for (unsigned i = 0; i < length; i++)
        if (values[i] == value) return 1;
    return 0;
}

int nvmlDeviceGetSupportedMemoryClocks(handle device, unsigned *room, unsigned *clocks) {
    ENTER(device)
    if (g->no_clocks) return NOT_SUPPORTED;
    return list(MEMORY_MHZ, memory_clocks(g), room, clocks);
}

int nvmlDeviceGetSupportedGraphicsClocks(handle device, unsigned memory_mhz, unsigned *room, unsigned *clocks) {
    ENTER(device)
    if (g->no_clocks) return NOT_SUPPORTED;
    if (!has(MEMORY_MHZ, memory_clocks(g), memory_mhz)) return NOT_FOUND;
    unsigned lacks = memory_mhz == MEMORY_MHZ[0] ? 0 : SLOW_MEMORY_LACKS;
    return list(GRAPHICS_MHZ + lacks, 5 - lacks, room, clocks);
}

int nvmlDeviceSetGpuLockedClocks(handle device, unsigned least, unsigned most) {
    ENTER(device)
    WRITE(g->arch < 5, has(GRAPHICS_MHZ, 5, least) && least == most, g->graphics_lock = most)
}

int nvmlDeviceResetGpuLockedClocks(handle device) {
    ENTER(device)
    WRITE(g->arch < 5, 1, g->graphics_lock = 0)
}

#ifndef OLD
int nvmlDeviceSetMemoryLockedClocks(handle device, unsigned least, unsigned most) {
    ENTER(device)
    WRITE(g->arch < 7, has(MEMORY_MHZ, memory_clocks(g), least) && least == most, g->memory_lock = most)
}

int nvmlDeviceResetMemoryLockedClocks(handle device) {
    ENTER(device)
    WRITE(g->arch < 7, 1, g->memory_lock = 0)
}
#endif
