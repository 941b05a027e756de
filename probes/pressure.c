#include "probes/probes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "base/file.h"

/* "Key:   123 kB" at the beginning of a line. */
static bool kilobytes_after(const char *text, const char *key, uint64_t *out)
{
	size_t n = strlen(key);
	unsigned long long kb;

	for (const char *p = text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
		if (strncmp(p, key, n) == 0 && p[n] == ':' && sscanf(p + n + 1, "%llu kB", &kb) == 1) {
			*out = kb * 1024;
			return true;
		}
	return false;
}

bool probe_meminfo_parse(const char *text, struct probe_memory *out)
{
	struct probe_memory m = {0};

	if (!kilobytes_after(text, "MemTotal", &m.total_bytes) || !kilobytes_after(text, "MemAvailable", &m.available_bytes))
		return false;
	(void)kilobytes_after(text, "SwapTotal", &m.swap_total_bytes);
	(void)kilobytes_after(text, "SwapFree", &m.swap_free_bytes);
	*out = m;
	return true;
}

/* "1.23" per cent as 1/10,000. */
static bool permyriad(const char *text, const char *key, uint64_t *out)
{
	const char *p = strstr(text, key);
	unsigned whole, hundredths;

	if (!p || sscanf(p + strlen(key), "%u.%2u", &whole, &hundredths) != 2 || whole > 100)
		return false;
	*out = whole * 100ULL + hundredths;
	return true;
}

bool probe_pressure_parse(const char *text, struct probe_pressure *out)
{
	const char *some = strstr(text, "some "), *full = strstr(text, "full ");
	struct probe_pressure p = {0};

	if (!some || !permyriad(some, "avg10=", &p.some_avg10) || !permyriad(some, "avg60=", &p.some_avg60))
		return false;
	if (full && (!permyriad(full, "avg10=", &p.full_avg10) || !permyriad(full, "avg60=", &p.full_avg60)))
		return false;
	*out = p;
	return true;
}

bool probe_loadavg_parse(const char *text, uint64_t *load1_permille)
{
	unsigned whole, hundredths;

	if (sscanf(text, "%u.%2u ", &whole, &hundredths) != 2)
		return false;
	*load1_permille = whole * 1000ULL + hundredths * 10ULL;
	return true;
}

int probe_memory_read(struct probe_memory *out)
{
	char text[8192];
	ssize_t n = file_read("/proc/meminfo", text, sizeof(text));

	if (n < 0)
		return (int)n;
	return probe_meminfo_parse(text, out) ? 0 : -EPROTO;
}

int probe_pressure_read(struct probe_pressure *out)
{
	char text[512];
	ssize_t n = file_read("/proc/pressure/memory", text, sizeof(text));

	if (n < 0)
		return n == -EOPNOTSUPP ? -ENOENT : (int)n; /* compiled in and switched off at boot */
	return probe_pressure_parse(text, out) ? 0 : -EPROTO;
}

int probe_loadavg_read(uint64_t *load1_permille)
{
	char text[128];
	ssize_t n = file_read("/proc/loadavg", text, sizeof(text));

	if (n < 0)
		return (int)n;
	return probe_loadavg_parse(text, load1_permille) ? 0 : -EPROTO;
}
