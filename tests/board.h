/* tests/board.h - a whole board inside one test: every file mapped by its writer, and one reader of it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shm/reader.h"
#include "shm/stamp.h"
#include "shm/writer.h"

struct board {
	struct shm_fds rw;
	struct shm_fds ro;
	struct shm_owner_file *owner;
	struct shm_host_file *host;
	struct shm_router_file *router[SHM_ROUTERS];
	struct shm_vital_file *vital[SHM_SLOTS];
	struct shm_reader *reader;
};

static inline void board_init(struct board *b)
{
	struct why why = {""};

	if (shm_board_create(&b->rw, &why) || shm_fds_readonly(&b->rw, &b->ro, &why) || shm_reader_open(&b->ro, &b->reader, &why))
		fail_msg("%s", why.text);
	b->owner = shm_owner_map(b->rw.owner, &why);
	b->host = shm_host_map(b->rw.host, &why);
	assert_non_null(b->owner);
	assert_non_null(b->host);
	for (unsigned i = 0; i < SHM_ROUTERS; i++)
		assert_non_null(b->router[i] = shm_router_map(b->rw.router[i], &why));
	for (unsigned i = 0; i < SHM_SLOTS; i++)
		assert_non_null(b->vital[i] = shm_vital_map(b->rw.vital[i], &why));
}

static inline void board_fini(struct board *b)
{
	shm_reader_close(&b->reader);
	shm_unmap(b->owner, SHM_KIND_OWNER);
	shm_unmap(b->host, SHM_KIND_HOST);
	for (unsigned i = 0; i < SHM_ROUTERS; i++)
		shm_unmap(b->router[i], SHM_KIND_ROUTER);
	for (unsigned i = 0; i < SHM_SLOTS; i++)
		shm_unmap(b->vital[i], SHM_KIND_VITAL);
	shm_fds_close(&b->ro);
	shm_fds_close(&b->rw);
}
