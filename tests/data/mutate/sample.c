// SPDX-License-Identifier: GPL-2.0-only
/* Every operator of toolkit.mutate has something to do here; it is never built. */
#include <linux/slab.h>

struct sample_table {
	int nr;
	u64 value[4];
};

static int sample_limit = 16;

static struct sample *sample_find(struct sample_dev *dev, u64 addr, u64 len)
{
	struct sample *p;

	lockdep_assert_held(&dev->lock);
	BUILD_BUG_ON(sizeof(*p) > 64);

	list_for_each_entry(p, &dev->samples, list) {
		if (p->addr <= addr && p->dead)
			continue;
		if (p->addr == addr && sample_fits(p, len, addr))
			return p;
	}
	return NULL;
}

static int sample_add(struct sample_dev *dev, u64 addr, u32 flags)
{
	struct sample *p;
	int ret = 0, i;

	if (flags & ~SAMPLE_VALID)
		return -EINVAL;
	if (dev->nr >= sample_limit || !dev->ready)
		return -ENOSPC;

	p = kzalloc(sizeof(*p), GFP_KERNEL);
	if (!p)
		return -ENOMEM;

	mutex_lock(&dev->lock);
	if (sample_find(dev, addr, 0)) {
		ret = -EEXIST;
		goto out_unlock;
	}
	p->flags = (flags | SAMPLE_LIVE) & ~SAMPLE_DEAD;
	for (i = 0; i < 4; i++)
		p->slot[i] = addr + i;
	kref_get(&dev->kref);
	list_add_rcu(&p->list, &dev->samples);
	smp_wmb();
	WRITE_ONCE(dev->nr, dev->nr + 1);
	dev->ops->added(dev, p);
	mutex_unlock(&dev->lock);
	return sample_poll(dev);

out_unlock:
	mutex_unlock(&dev->lock);
out_free:
	kfree(p);
	return ret;
}

static void sample_del(struct sample_dev *dev, struct sample *p)
{
	list_del_rcu(&p->list);
	synchronize_rcu();
	kfree(p);
}

static long sample_ioctl(struct sample_dev *dev, unsigned int nr)
{
	long ret = -ENOTTY;

	switch (nr) {
	case SAMPLE_POLL:
	case SAMPLE_PEEK:
		ret = sample_poll(dev);
		break;
	default:
		dev->unknown = nr;
	}
	return ret;
}
