/* Bytes on the board: whatever a writer leaves there, every read ends soon, and what it hands out can be indexed, looped and printed.
 *
 * The input is a file image: one byte for the file, four for the offset, then the bytes that stand there.  Bits of the first byte also
 * put the bytes over the stamp of a file and open that (0x80), take them for descriptors in another order (0x40), for durations (0x20).
 * The sums of the lines are then made right, so that the rules behind them are met, unless 0x10 asks for rubbish. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bug.h"
#include "shm/hist.h"
#include "shm/reader.h"
#include "shm/stamp.h"
#include "shm/sum.h"
#include "shm/writer.h"

#define HEAD    5
#define STAMP   0x80
#define ORDER   0x40
#define HIST    0x20
#define RUBBISH 0x10

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct shm_fds rw;
static struct shm_reader *reader;
static struct shm_owner_file *owner;
static struct shm_vital_file *vital;
static struct shm_host_file *host;
static struct shm_router_file *router;

static void board_make(void)
{
	struct why why;

	BUG_ON(shm_board_create(&rw, &why) || shm_reader_open(&rw, &reader, &why));
	owner = shm_owner_map(rw.owner, &why);
	vital = shm_vital_map(rw.vital[0], &why);
	host = shm_host_map(rw.host, &why);
	router = shm_router_map(rw.router[0], &why);
	BUG_ON(!owner || !vital || !host || !router);
}

#define LINE_SUM_UP(line) words_sum_up((line).words, ARRAY_SIZE((line).words))

static void words_sum_up(_Atomic uint64_t *words, size_t n)
{
	words[n - 1] = shm_sum((const void *)(uintptr_t)words, n - 1);
}

static void owner_sum_up(void)
{
	LINE_SUM_UP(owner->header);
	LINE_SUM_UP(owner->host);
	for (unsigned i = 0; i < SHM_ROUTERS; i++)
		LINE_SUM_UP(owner->router[i]);
	for (unsigned i = 0; i < SHM_SLOTS; i++)
		LINE_SUM_UP(owner->slot[i]);
}

static void vital_sum_up(void)
{
	LINE_SUM_UP(vital->vital);
	LINE_SUM_UP(vital->models);
}

static void host_sum_up(void)
{
	LINE_SUM_UP(host->host);
}

static void router_sum_up(void)
{
	LINE_SUM_UP(router->ident);
	for (unsigned i = 0; i < SHM_SLOTS; i++)
		for (unsigned n = 0; n < SHM_WISHES; n++)
			LINE_SUM_UP(router->slot[i].wish[n]);
}

static void answer_check(int err)
{
	BUG_ON(err != 0 && err != -EAGAIN && err != -EBADMSG);
}

#define TEXT_CHECK(text) BUG_ON(strnlen((text), sizeof(text)) == sizeof(text))

static void owner_read(void)
{
	struct shm_header h;
	struct shm_child_line c;
	struct shm_owner o;
	int err = shm_read_header(reader, &h);

	answer_check(err);
	if (!err) {
		TEXT_CHECK(h.listen);
		TEXT_CHECK(h.reload_text);
		TEXT_CHECK(h.version);
		BUG_ON(h.slots_used > SHM_SLOTS || h.routers > SHM_ROUTERS || (int32_t)h.sup_pid < 0);
	}
	for (unsigned i = 0; i <= SHM_ROUTERS; i++) {
		err = i < SHM_ROUTERS ? shm_read_router_child(reader, i, &c) : shm_read_host_child(reader, &c);
		answer_check(err);
		if (err)
			continue;
		TEXT_CHECK(c.why);
		BUG_ON(c.state >= SHM_CHILD_COUNT || (int32_t)c.pid < 0);
	}
	for (unsigned i = 0; i < SHM_SLOTS; i++) {
		err = shm_read_slot(reader, i, &o);
		answer_check(err);
		if (err)
			continue;
		TEXT_CHECK(o.name);
		TEXT_CHECK(o.url);
		TEXT_CHECK(o.tags);
		TEXT_CHECK(o.why);
		BUG_ON(!*shm_child_word(o.child_state) || shm_reader_bad(reader) + shm_reader_torn(reader) == UINT64_MAX);
		BUG_ON(o.wanted >= SHM_WANT_COUNT || o.child_state >= SHM_CHILD_COUNT || (int32_t)o.child_pid < 0);
	}
}

static void vital_read(void)
{
	struct shm_vital v;
	struct shm_models m;
	int err = shm_read_vital(reader, 0, &v);

	answer_check(err);
	if (!err) {
		TEXT_CHECK(v.version);
		TEXT_CHECK(v.why);
		BUG_ON(v.state >= SHM_STATE_COUNT || v.death_kind >= SHM_DEATH_COUNT || v.models > SHM_MODELS ||
		       (int32_t)v.ollama_pid < 0);
	}
	if (!err)
		BUG_ON(!*shm_state_word(v.state) || !*shm_state_sentence(v.state) || !*shm_state_word(v.beat_ns));
	err = shm_read_models(reader, 0, &m);
	answer_check(err);
	for (uint64_t i = 0; !err && i < m.n; i++)
		TEXT_CHECK(m.at[i].name);
}

static void host_read(void)
{
	struct shm_host h;
	int err = shm_read_host(reader, &h);

	answer_check(err);
	for (uint64_t i = 0; !err && i < h.gpus; i++)
		TEXT_CHECK(h.gpu[i].name);
}

static void router_read(void)
{
	struct shm_router_ident id;
	struct shm_wish w;

	answer_check(shm_read_router_ident(reader, 0, &id));
	BUG_ON(shm_read_router_ident(reader, SHM_ROUTERS, &id) != -ERANGE ||
	       shm_read_wish(reader, 0, 0, SHM_WISHES, &w) != -ERANGE);
	BUG_ON(!shm_router_counters(reader, 0) || shm_router_counters(reader, SHM_ROUTERS) ||
	       shm_router_slot(reader, 0, SHM_SLOTS));
	(void)shm_get(&shm_router_counters(reader, 0)->requests);
	for (unsigned s = 0; s < SHM_SLOTS; s++) {
		const struct shm_rslot *slot = shm_router_slot(reader, 0, s);

		for (unsigned n = 0; n < SHM_WISHES; n++) {
			int err = shm_read_wish(reader, 0, s, n, &w);

			answer_check(err);
			if (err)
				continue;
			TEXT_CHECK(w.model);
			BUG_ON(w.kind >= SHM_WISH_COUNT);
		}
		(void)shm_hist_quantile(slot->first_hist, 0.5);
		(void)shm_hist_quantile(slot->total_hist, 0.99);
	}
}

/* Another board as a reader is given it: it opens or says why not. */
static void board_open(const struct shm_fds *fds)
{
	struct shm_reader *r = NULL;
	struct shm_header h;
	struct shm_vital v;
	struct why why = {""};
	int err = shm_reader_open(fds, &r, &why);

	BUG_ON(err != 0 && err != -EPROTO && err != -EBADF);
	BUG_ON(err && (!why.text[0] || r));
	if (!err) {
		err = shm_read_header(r, &h);
		BUG_ON((err == -ERANGE) != (fds->owner < 0));
		err = shm_read_vital(r, 0, &v);
		BUG_ON((err == -ERANGE) != (fds->vital[0] < 0));
	}
	shm_reader_close(&r);
}

/* Bytes over the stamp of a file, from `where` on. */
static void stamp_try(int fd, uint32_t where, const uint8_t *data, size_t n)
{
	struct shm_stamp stamp, kept;
	struct why why = {""};
	int err;
	size_t at = where % sizeof(stamp);

	BUG_ON(pread(fd, &kept, sizeof(kept), 0) != (ssize_t)sizeof(kept));
	stamp = kept;
	memcpy((char *)&stamp + at, data, n < sizeof(stamp) - at ? n : sizeof(stamp) - at);
	BUG_ON(pwrite(fd, &stamp, sizeof(stamp), 0) != (ssize_t)sizeof(stamp));
	err = shm_reader_check(reader, &why);
	BUG_ON(err != 0 && (err != -EPROTO || !why.text[0]));
	board_open(&rw);
	BUG_ON(pwrite(fd, &kept, sizeof(kept), 0) != (ssize_t)sizeof(kept));
}

/* Descriptors in the wrong order, missing, closed, of no board. */
static void order_try(const uint8_t *data, size_t n)
{
	static int other = -1;
	struct shm_fds fds = rw;
	int *fd = &fds.owner;

	if (other < 0)
		BUG_ON((other = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING)) < 0 ||
		       ftruncate(other, (off_t)shm_file_bytes(SHM_KIND_HOST)) < 0);
	for (size_t i = 0; i + 1 < n && i < 16; i += 2) {
		int *at = &fd[data[i] % SHM_FDS_COUNT];

		switch (data[i + 1]) {
		case 0xff:
			*at = -1;
			break;
		case 0xfe:
			*at = 99999; /* nobody has so many */
			break;
		case 0xfd:
			*at = other;
			break;
		default:
			*at = fd[data[i + 1] % SHM_FDS_COUNT];
		}
	}
	board_open(&fds);
}

/* Durations counted and read again: within a bucket of what was counted. */
static void hist_try(const uint8_t *data, size_t n)
{
	static _Atomic uint32_t hist[SHM_HIST_BUCKETS];
	uint64_t least = UINT64_MAX, most = 0, ns;

	for (size_t i = 0; i < SHM_HIST_BUCKETS; i++)
		hist[i] = 0;
	for (size_t i = 0; i + sizeof(ns) <= n; i += sizeof(ns)) {
		memcpy(&ns, data + i, sizeof(ns));
		shm_hist_add(hist, ns);
		least = ns < least ? ns : least;
		most = ns > most ? ns : most;
	}
	if (n < sizeof(ns)) {
		BUG_ON(shm_hist_quantile(hist, 0.5) != 0);
		return;
	}
	BUG_ON(shm_hist_quantile(hist, 0.0001) != shm_hist_value(shm_hist_bucket(least)));
	BUG_ON(shm_hist_quantile(hist, 1.0) != shm_hist_value(shm_hist_bucket(most)));
	BUG_ON(shm_hist_quantile(hist, 2.0) != shm_hist_value(SHM_HIST_BUCKETS));
}

static const struct {
	enum shm_kind kind;
	void (*read)(void);
	void (*sum_up)(void);
} FILES[] = {
	{SHM_KIND_OWNER, owner_read, owner_sum_up},
	{SHM_KIND_VITAL, vital_read, vital_sum_up},
	{SHM_KIND_HOST, host_read, host_sum_up},
	{SHM_KIND_ROUTER, router_read, router_sum_up},
};

/* The sums that were put in go away again: a line of zeros has the sum 0. */
static void file_zero(int fd, enum shm_kind kind)
{
	static const uint8_t ZEROS[1 << 20];
	size_t n = shm_file_bytes(kind) - sizeof(struct shm_stamp);

	BUG_ON(n > sizeof(ZEROS) || pwrite(fd, ZEROS, n, sizeof(struct shm_stamp)) != (ssize_t)n);
}

static int fd_of(enum shm_kind kind)
{
	switch (kind) {
	case SHM_KIND_OWNER:
		return rw.owner;
	case SHM_KIND_HOST:
		return rw.host;
	case SHM_KIND_ROUTER:
		return rw.router[0];
	default:
		return rw.vital[0];
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t ZEROS[1 << 16];
	size_t file, room, at, n;
	uint32_t where;
	int fd;

	if (!reader)
		board_make();
	if (size < HEAD || size > sizeof(ZEROS))
		return 0;
	file = data[0] % ARRAY_SIZE(FILES);
	fd = fd_of(FILES[file].kind);
	memcpy(&where, data + 1, sizeof(where));
	n = size - HEAD;
	if (data[0] & STAMP)
		stamp_try(fd, where, data + HEAD, n);
	if (data[0] & ORDER)
		order_try(data + HEAD, n);
	if (data[0] & HIST)
		hist_try(data + HEAD, n);
	room = shm_file_bytes(FILES[file].kind) - sizeof(struct shm_stamp);
	n = n < room ? n : room;
	at = sizeof(struct shm_stamp) + where % (room - n + 1);
	BUG_ON(pwrite(fd, data + HEAD, n, (off_t)at) != (ssize_t)n);
	if (!(data[0] & RUBBISH))
		FILES[file].sum_up();
	FILES[file].read();
	if (!(data[0] & RUBBISH))
		file_zero(fd, FILES[file].kind);
	BUG_ON(pwrite(fd, ZEROS, n, (off_t)at) != (ssize_t)n);
	return 0;
}
