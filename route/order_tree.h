/* route/order_tree.h - private to order.c: a flow's items as a treap ordered by (key, seq), each node with the count and the work of
 * its subtree, its earliest arrival and the soonest of its latest moments.  `rank` is drawn from the sequence number, so the same arrivals always make the same tree. */
#pragma once

#include "route/order.h"

void tree_insert(struct order_item **root, struct order_item *item);
void tree_remove(struct order_item **root, struct order_item *item);

struct order_item *tree_first(struct order_item *root);
struct order_item *tree_next(struct order_item *item);

/* Who came first. */
struct order_item *tree_eldest(struct order_item *root);

/* Count and work of the items before (key, seq). */
void tree_before(const struct order_item *root, int64_t key, uint64_t seq, uint64_t *n, uint64_t *work_ns);
