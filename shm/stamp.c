#include "shm/stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static const struct {
	const char *name;
	size_t bytes;
} KINDS[SHM_KIND_COUNT] = {
	[SHM_KIND_NONE] = {"unknown", 0},
	[SHM_KIND_OWNER] = {"owner", sizeof(struct shm_owner_file)},
	[SHM_KIND_VITAL] = {"vital", sizeof(struct shm_vital_file)},
	[SHM_KIND_HOST] = {"host", sizeof(struct shm_host_file)},
	[SHM_KIND_ROUTER] = {"router", sizeof(struct shm_router_file)},
};

struct shm_place shm_place_of(unsigned position)
{
	if (position == offsetof(struct shm_fds, owner) / sizeof(int))
		return (struct shm_place){SHM_KIND_OWNER, 0};
	if (position == offsetof(struct shm_fds, host) / sizeof(int))
		return (struct shm_place){SHM_KIND_HOST, 0};
	if (position < offsetof(struct shm_fds, vital) / sizeof(int))
		return (struct shm_place){SHM_KIND_ROUTER, position - offsetof(struct shm_fds, router) / sizeof(int)};
	return (struct shm_place){SHM_KIND_VITAL, position - offsetof(struct shm_fds, vital) / sizeof(int)};
}

size_t shm_file_bytes(enum shm_kind kind)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (KINDS[kind].bytes + page - 1) / page * page;
}

void shm_boot_id(uint64_t out[2])
{
	char text[64] = "";
	uint64_t id[2] = {0, 0};
	unsigned digits = 0;
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		ssize_t n = read(fd, text, sizeof(text) - 1);

		text[n > 0 ? n : 0] = 0;
		close(fd);
	}
	for (const char *p = text; *p && digits < 32; p++) {
		unsigned v;

		if (*p >= '0' && *p <= '9')
			v = (unsigned)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			v = (unsigned)(*p - 'a') + 10;
		else
			continue;
		id[digits / 16] = id[digits / 16] << 4 | v;
		digits++;
	}
	memcpy(out, id, sizeof(id));
}

void shm_stamp_make(struct shm_place place, const uint64_t board_id[2], const uint64_t boot_id[2], struct shm_stamp *out)
{
	*out = (struct shm_stamp){
		.magic = SHM_MAGIC,
		.version = SHM_VERSION,
		.layout = shm_layout_hash(),
		.kind = place.kind,
		.index = place.index,
		.bytes = shm_file_bytes(place.kind),
		.board_id = {board_id[0], board_id[1]},
		.boot_id = {boot_id[0], boot_id[1]},
	};
}

static bool same_id(const uint64_t a[2], const uint64_t b[2])
{
	return a[0] == b[0] && a[1] == b[1];
}

static bool no_id(const uint64_t id[2])
{
	return id[0] == 0 && id[1] == 0;
}

/* "vital file 3", as far as it is known. */
static const char *place_text(struct shm_place place, char *buf, size_t size)
{
	if ((place.kind == SHM_KIND_VITAL || place.kind == SHM_KIND_ROUTER) && place.index != SHM_INDEX_ANY)
		snprintf(buf, size, "%s file %llu", KINDS[place.kind].name, (unsigned long long)place.index);
	else
		snprintf(buf, size, "%s file", KINDS[place.kind].name);
	return buf;
}

static struct shm_place place_of_stamp(const struct shm_stamp *s)
{
	return (struct shm_place){s->kind < SHM_KIND_COUNT ? (enum shm_kind)s->kind : SHM_KIND_NONE, s->index};
}

#define OTHER_BUILD "; install one version of tsa and restart the service, so that all of its programs are of that version"

int shm_stamp_check(const struct shm_stamp *s, struct shm_place place, const uint64_t boot_id[2], const uint64_t board_id[2],
		    struct why *why)
{
	char name[40], found[40];

	place_text(place, name, sizeof(name));
	if (s->magic != SHM_MAGIC)
		return why_set(why, -EPROTO, "what was handed over as the %s of the board is no file of a board" OTHER_BUILD, name);
	if (s->version != SHM_VERSION)
		return why_set(why, -EPROTO, "the %s of the board has version %llu and this program knows version %u" OTHER_BUILD,
			       name, (unsigned long long)s->version, SHM_VERSION);
	if (s->layout != shm_layout_hash())
		return why_set(why, -EPROTO, "the %s of the board was laid out by another build of tsa" OTHER_BUILD, name);
	if (s->kind != place.kind || (place.index != SHM_INDEX_ANY && s->index != place.index))
		return why_set(why, -EPROTO, "the %s of the board stands where the %s belongs" OTHER_BUILD,
			       place_text(place_of_stamp(s), found, sizeof(found)), name);
	if (s->bytes != shm_file_bytes(place.kind))
		return why_set(why, -EPROTO, "the %s of the board says that it has %llu bytes instead of %zu" OTHER_BUILD, name,
			       (unsigned long long)s->bytes, shm_file_bytes(place.kind));
	if (!no_id(boot_id) && !no_id(s->boot_id) && !same_id(s->boot_id, boot_id))
		return why_set(why, -EPROTO,
			       "the %s of the board was made before this machine was last started; restart the service", name);
	if (!no_id(board_id) && !same_id(s->board_id, board_id))
		return why_set(why, -EPROTO, "the %s belongs to another board than the rest; restart the service", name);
	return 0;
}

int shm_file_check(int fd, struct shm_place place, const uint64_t boot_id[2], uint64_t board_id[2], struct why *why)
{
	struct shm_stamp stamp;
	struct stat st;
	char name[40];
	ssize_t n;
	int seals, err;

	place_text(place, name, sizeof(name));
	if (fstat(fd, &st) < 0)
		return why_set(why, -errno, "the %s of the board cannot be looked at (fstat: %s); restart the service", name,
			       strerror(errno));
	if (st.st_size < (off_t)sizeof(stamp) || (size_t)st.st_size != shm_file_bytes(place.kind))
		return why_set(why, -EPROTO, "the %s of the board has %lld bytes instead of %zu" OTHER_BUILD, name,
			       (long long)st.st_size, shm_file_bytes(place.kind));
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS)
		return why_set(why, -EPROTO, "the %s of the board could still shrink under its readers (no seals)" OTHER_BUILD,
			       name);
	n = pread(fd, &stamp, sizeof(stamp), 0);
	if (n != (ssize_t)sizeof(stamp))
		return why_set(why, n < 0 ? -errno : -EPROTO,
			       "the stamp of the %s of the board cannot be read (pread: %s); restart the service", name,
			       n < 0 ? strerror(errno) : "too short");
	err = shm_stamp_check(&stamp, place, boot_id, board_id, why);
	if (err)
		return err;
	board_id[0] = stamp.board_id[0];
	board_id[1] = stamp.board_id[1];
	return 0;
}

int shm_file_map(int fd, enum shm_kind kind, int prot, void **out, struct why *why)
{
	void *p = mmap(NULL, shm_file_bytes(kind), prot, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return why_set(why, -errno,
			       "the %s file of the board cannot be mapped for %s (mmap: %s); look at the limits of the service",
			       KINDS[kind].name, prot & PROT_WRITE ? "writing" : "reading", strerror(errno));
	*out = p;
	return 0;
}

void shm_file_unmap(const void *file, enum shm_kind kind)
{
	if (file)
		munmap((void *)(uintptr_t)file, shm_file_bytes(kind));
}
