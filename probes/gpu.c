/* NVML by dlopen: a host without GPUs needs no NVIDIA package, and one with them needs no other build.  The declarations below are
 * the part of NVML's stable interface that is used. */
#include "probes/probes.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"

#define NVML_SUCCESS         0
#define NVML_TEMPERATURE_GPU 0U

struct nvml_memory {
	unsigned long long total, free, used; /* bytes */
};

struct nvml_utilization {
	unsigned gpu, memory; /* per cent */
};

struct nvml {
	int (*init)(void);
	int (*shutdown)(void);
	int (*count)(unsigned *n);
	int (*handle)(unsigned i, void **device);
	int (*name)(void *device, char *buf, unsigned size);
	int (*memory)(void *device, struct nvml_memory *out);
	int (*utilization)(void *device, struct nvml_utilization *out);
	int (*temperature)(void *device, unsigned sensor, unsigned *celsius);
};

struct probe_gpus {
	void *library;
	struct nvml nvml;
};

/* Function addresses come out of dlsym(3) as data pointers; POSIX says the bytes are the same. */
static bool symbols_find(void *library, struct nvml *out)
{
	static const struct {
		const char *symbol;
		size_t at;
	} SYMBOLS[] = {
		{"nvmlInit_v2", offsetof(struct nvml, init)},
		{"nvmlShutdown", offsetof(struct nvml, shutdown)},
		{"nvmlDeviceGetCount_v2", offsetof(struct nvml, count)},
		{"nvmlDeviceGetHandleByIndex_v2", offsetof(struct nvml, handle)},
		{"nvmlDeviceGetName", offsetof(struct nvml, name)},
		{"nvmlDeviceGetMemoryInfo", offsetof(struct nvml, memory)},
		{"nvmlDeviceGetUtilizationRates", offsetof(struct nvml, utilization)},
		{"nvmlDeviceGetTemperature", offsetof(struct nvml, temperature)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(SYMBOLS); i++) {
		void *p = dlsym(library, SYMBOLS[i].symbol);

		if (!p)
			return false;
		memcpy((char *)out + SYMBOLS[i].at, &p, sizeof(p));
	}
	return true;
}

int probe_gpus_create(struct probe_gpus **out, struct why *why)
{
	void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
	struct probe_gpus *g;
	int rc;

	if (!library) {
		*out = NULL;
		return 0;
	}
	g = calloc(1, sizeof(*g));
	if (!g) {
		dlclose(library);
		return why_set(why, -ENOMEM, "no memory to look at GPUs");
	}
	g->library = library;
	rc = symbols_find(library, &g->nvml) ? g->nvml.init() : -1;
	if (rc != NVML_SUCCESS) {
		dlclose(library);
		free(g);
		return why_set(
			why, -EIO,
			"NVML is installed and does not start (status %d); is the NVIDIA driver loaded and of the same version?",
			rc);
	}
	*out = g;
	return 0;
}

void probe_gpus_destroy(struct probe_gpus **gp)
{
	if (!*gp)
		return;
	(*gp)->nvml.shutdown();
	dlclose((*gp)->library);
	free(*gp);
	*gp = NULL;
}

static void gpu_read(const struct nvml *nvml, unsigned i, struct probe_gpu *out)
{
	struct nvml_utilization use;
	struct nvml_memory memory;
	unsigned celsius;
	void *device;

	memset(out, 0, sizeof(*out));
	snprintf(out->name, sizeof(out->name), "GPU %u", i);
	if (nvml->handle(i, &device) != NVML_SUCCESS)
		return;
	(void)nvml->name(device, out->name, sizeof(out->name) - 1); /* a longer name is refused, and the number stays */
	if (nvml->memory(device, &memory) != NVML_SUCCESS)
		return;
	out->mem_total_bytes = memory.total;
	out->mem_used_bytes = memory.used;
	if (nvml->utilization(device, &use) == NVML_SUCCESS) /* not told under MIG */
		out->util_permille = use.gpu * 10ULL;
	if (nvml->temperature(device, NVML_TEMPERATURE_GPU, &celsius) != NVML_SUCCESS)
		return;
	out->temp_mc = celsius * 1000ULL;
	out->healthy = true;
}

unsigned probe_gpus_read(struct probe_gpus *g, struct probe_gpu out[PROBE_GPUS])
{
	unsigned n = 0;

	if (!g || g->nvml.count(&n) != NVML_SUCCESS)
		return 0;
	if (n > PROBE_GPUS)
		n = PROBE_GPUS;
	for (unsigned i = 0; i < n; i++)
		gpu_read(&g->nvml, i, &out[i]);
	return n;
}
