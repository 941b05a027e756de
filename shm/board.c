/* A whole board as descriptors: made, re-opened for readers, checked, closed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/stamp.h"
#include "shm/writer.h"

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3 */
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static int *fds_array(struct shm_fds *fds)
{
	return &fds->owner;
}

static const int *fds_array_const(const struct shm_fds *fds)
{
	return &fds->owner;
}

static void fds_init(struct shm_fds *fds)
{
	for (unsigned i = 0; i < SHM_FDS_COUNT; i++)
		fds_array(fds)[i] = -1;
}

void shm_fds_close(struct shm_fds *fds)
{
	if (!fds)
		return;
	for (unsigned i = 0; i < SHM_FDS_COUNT; i++)
		if (fds_array(fds)[i] >= 0)
			close(fds_array(fds)[i]);
	fds_init(fds);
}

/* Hosts with vm.memfd_noexec=2 refuse a memfd that may be executed; kernels before 6.3 refuse the flag that says it may not. */
static int memfd_make(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd;
}

/* Mode 0400 after we hold it writable: another uid that got it read-only cannot open it again for writing through /proc. */
static int file_create(struct shm_place place, const uint64_t board_id[2], const uint64_t boot_id[2], int *out, struct why *why)
{
	struct shm_stamp stamp;
	char name[40];
	int fd, err;

	snprintf(name, sizeof(name), "tsa-board-%u-%u", (unsigned)place.kind, (unsigned)place.index);
	fd = memfd_make(name);
	if (fd < 0)
		return why_set(why, -errno, "no file for the board (memfd_create: %s); raise LimitNOFILE= of the service",
			       strerror(errno));
	shm_stamp_make(place, board_id, boot_id, &stamp);
	if (ftruncate(fd, (off_t)shm_file_bytes(place.kind)) < 0 ||
	    pwrite(fd, &stamp, sizeof(stamp), 0) != (ssize_t)sizeof(stamp) || fchmod(fd, 0400) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		err = why_set(why, -errno, "a file of the board could not be set up (%s); raise MemoryMax= of the service",
			      strerror(errno));
		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

int shm_board_create(struct shm_fds *out, struct why *why)
{
	uint64_t board_id[2], boot_id[2];
	struct shm_fds fds;

	if (getrandom(board_id, sizeof(board_id), 0) != (ssize_t)sizeof(board_id))
		return why_set(why, -errno, "no random number for a new board (getrandom: %s)", strerror(errno));
	shm_boot_id(boot_id);
	fds_init(&fds);
	for (unsigned i = 0; i < SHM_FDS_COUNT; i++) {
		int err = file_create(shm_place_of(i), board_id, boot_id, &fds_array(&fds)[i], why);

		if (err) {
			shm_fds_close(&fds);
			return err;
		}
	}
	*out = fds;
	return 0;
}

int shm_fds_readonly(const struct shm_fds *fds, struct shm_fds *out, struct why *why)
{
	struct shm_fds ro;

	fds_init(&ro);
	for (unsigned i = 0; i < SHM_FDS_COUNT; i++) {
		char path[40];
		int fd = fds_array_const(fds)[i];

		if (fd < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			int err = why_set(why, -errno,
					  "a file of the board cannot be opened for its readers (%s: %s); is /proc mounted?", path,
					  strerror(errno));

			shm_fds_close(&ro);
			return err;
		}
		fds_array(&ro)[i] = fd;
	}
	*out = ro;
	return 0;
}

int shm_fds_check(const struct shm_fds *fds, struct why *why)
{
	uint64_t boot_id[2], board_id[2] = {0, 0};

	shm_boot_id(boot_id);
	for (unsigned i = 0; i < SHM_FDS_COUNT; i++) {
		int err;

		if (fds_array_const(fds)[i] < 0)
			return why_set(why, -EPROTO, "file %u of the %d of the board did not come back; a new board is needed",
				       i + 1, SHM_FDS_COUNT);
		err = shm_file_check(fds_array_const(fds)[i], shm_place_of(i), boot_id, board_id, why);
		if (err)
			return err;
	}
	return 0;
}
