#include "route/order_tree.h"

#include <stddef.h>

static bool before(int64_t key_a, uint64_t seq_a, int64_t key_b, uint64_t seq_b)
{
	return key_a != key_b ? key_a < key_b : seq_a < seq_b;
}

static void sum_with(struct order_item *i, const struct order_item *child)
{
	if (!child)
		return;
	i->sum_n += child->sum_n;
	i->sum_ns += child->sum_ns;
	if (child->soonest_ns < i->soonest_ns)
		i->soonest_ns = child->soonest_ns;
	if (child->eldest_ns < i->eldest_ns)
		i->eldest_ns = child->eldest_ns;
}

static void sum(struct order_item *i)
{
	i->sum_n = 1;
	i->sum_ns = i->work_ns;
	i->soonest_ns = i->latest_ns;
	i->eldest_ns = i->since_ns;
	sum_with(i, i->left);
	sum_with(i, i->right);
}

/* Put `in` where `out` hangs. */
static void hang(struct order_item **root, const struct order_item *out, struct order_item *in)
{
	if (!out->up)
		*root = in;
	else if (out->up->left == out)
		out->up->left = in;
	else
		out->up->right = in;
	if (in)
		in->up = out->up;
}

/* Lift a child over its parent. */
static void rotate(struct order_item **root, struct order_item *child)
{
	struct order_item *up = child->up;

	hang(root, up, child);
	if (up->left == child) {
		up->left = child->right;
		if (up->left)
			up->left->up = up;
		child->right = up;
	} else {
		up->right = child->left;
		if (up->right)
			up->right->up = up;
		child->left = up;
	}
	up->up = child;
	sum(up);
	sum(child);
}

static void sum_up(struct order_item *i)
{
	for (; i; i = i->up)
		sum(i);
}

void tree_insert(struct order_item **root, struct order_item *item)
{
	struct order_item *up = NULL, **at = root;

	while (*at) {
		up = *at;
		at = before(item->key, item->seq, up->key, up->seq) ? &up->left : &up->right;
	}
	*at = item;
	item->up = up;
	item->left = item->right = NULL;
	item->rank = (uint32_t)((item->seq * 0x9e3779b97f4a7c15ULL) >> 32);
	sum_up(item);
	while (item->up && item->up->rank < item->rank)
		rotate(root, item);
}

void tree_remove(struct order_item **root, struct order_item *item)
{
	while (item->left && item->right)
		rotate(root, item->left->rank > item->right->rank ? item->left : item->right);
	hang(root, item, item->left ? item->left : item->right);
	sum_up(item->up);
	item->up = item->left = item->right = NULL;
}

struct order_item *tree_first(struct order_item *root)
{
	while (root && root->left)
		root = root->left;
	return root;
}

struct order_item *tree_next(struct order_item *item)
{
	if (item->right)
		return tree_first(item->right);
	while (item->up && item->up->right == item)
		item = item->up;
	return item->up;
}

struct order_item *tree_eldest(struct order_item *root)
{
	while (root && root->since_ns != root->eldest_ns)
		root = root->left && root->left->eldest_ns == root->eldest_ns ? root->left : root->right;
	return root;
}

void tree_before(const struct order_item *root, int64_t key, uint64_t seq, uint64_t *n, uint64_t *work_ns)
{
	*n = *work_ns = 0;
	while (root) {
		if (!before(root->key, root->seq, key, seq)) {
			root = root->left;
			continue;
		}
		*n += 1 + (root->left ? root->left->sum_n : 0);
		*work_ns += root->work_ns + (root->left ? root->left->sum_ns : 0);
		root = root->right;
	}
}
