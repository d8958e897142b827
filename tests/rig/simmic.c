/* simmic: a microphone in user space for the real alsa-lib, for tests on machines without a sound card.
 *
 * It is an external I/O plugin of alsa-lib. Everything above the driver (parameters, states, poll, errors, the `plug`
 * converter) is that of alsa-lib. It captures a sine wave at the pace of the monotonic clock, and a late reader gets a
 * real overrun. The wave's phase follows the clock and not the reader, so lost samples are missing in it.
 *
 *   cc -shared -fPIC -DPIC -O2 simmic.c -o simmic.so -lasound -lm        (Debian: libasound2-dev)
 *
 *   # asound.conf, named by ALSA_CONFIG_PATH
 *   </usr/share/alsa/alsa.conf>
 *   pcm_type.simmic { lib "/where/it/is/simmic.so" }
 *   pcm.mic { type simmic rate 44100 channels 2 format "S16_LE" xrun_every_ms 700 }
 *
 *   arecord -D mic -f S16_LE -r 44100 -c 2 -d 3 out.wav
 *
 * rate N, channels N, format "NAME": the only ones it has (48000, 1, S16_LE; others: S32_LE, S24_3LE, FLOAT_LE)
 * hz N: pitch of the wave (1000); its amplitude is half of full scale, and the second channel is silent
 * ppm N: its clock is too fast by N ppm
 * xrun_every_ms N: an overrun after N ms of running, each time
 * sleep_after_ms N: suspends once, like a board; it cannot be resumed, only prepared again
 * pause_after_ms N, pause_ms M: after N ms of running, loses M ms of samples without an error
 * stall_after_ms N: after N ms of running, delivers no samples any more, and no error
 * rush 1: it has no clock; another period is always ready
 * hang_after_ms N: after N ms of running, a call for its position never returns
 * hangs_at_close 1: closing it never returns
 * gone_after_ms N: it is unplugged N ms after it was opened
 * storm "IN", "ERR": its descriptor is always ready, and reports data to read, or an error
 * fails "NAME": opening fails with EBUSY, EACCES or ENODEV
 */
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct mic {
	snd_pcm_ioplug_t io;
	int timer;
	snd_pcm_format_t format;
	long rate, channels, hz, ppm;
	long xrun_every, sleep_after, pause_after, pause, stall_after, gone_after, rush, hang_after, hangs_at_close;
	unsigned short storm;
	int slept;
	int64_t opened, started; /* ns of CLOCK_MONOTONIC */
	uint64_t heard; /* frames captured since `started`; alsa-lib's `appl_ptr` counts those read */
};

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint64_t frames_in(const struct mic *m, int64_t ns)
{
	return (uint64_t)((double)ns * (double)m->rate / 1e9 * (1.0 + (double)m->ppm * 1e-6));
}

static int set_timer(struct mic *m, int64_t ns)
{
	struct itimerspec every = { { ns / 1000000000, ns % 1000000000 }, { ns / 1000000000, ns % 1000000000 } };
	return timerfd_settime(m->timer, 0, &every, NULL) < 0 ? -errno : 0;
}

static int mic_start(snd_pcm_ioplug_t *io)
{
	struct mic *m = io->private_data;
	m->started = now_ns();
	return set_timer(m, m->rush || m->storm ? 1 : (int64_t)io->period_size * 1000000000 / m->rate);
}

static int mic_stop(snd_pcm_ioplug_t *io)
{
	return set_timer(io->private_data, 0);
}

static int mic_prepare(snd_pcm_ioplug_t *io)
{
	struct mic *m = io->private_data;
	m->heard = 0;
	return 0;
}

/* The hardware position in the buffer. All simulated faults of the card happen here. */
static snd_pcm_sframes_t mic_pointer(snd_pcm_ioplug_t *io)
{
	struct mic *m = io->private_data;
	int64_t now = now_ns(), running = now - m->started, ms = running / 1000000;

	if (m->gone_after && now - m->opened > m->gone_after * 1000000) {
		snd_pcm_ioplug_set_state(io, SND_PCM_STATE_DISCONNECTED);
		return (snd_pcm_sframes_t)(m->heard % io->buffer_size);
	}
	if (io->state != SND_PCM_STATE_RUNNING)
		return (snd_pcm_sframes_t)(m->heard % io->buffer_size);
	while (m->hang_after && ms >= m->hang_after)
		usleep(100000);
	if (m->xrun_every && ms >= m->xrun_every)
		return -EPIPE;
	if (m->sleep_after && ms >= m->sleep_after && !m->slept) {
		m->slept = 1;
		snd_pcm_ioplug_set_state(io, SND_PCM_STATE_SUSPENDED);
		return (snd_pcm_sframes_t)(m->heard % io->buffer_size);
	}
	if (m->stall_after && ms >= m->stall_after)
		running = m->stall_after * 1000000;
	if (m->pause && ms >= m->pause_after)
		running = ms < m->pause_after + m->pause ? m->pause_after * 1000000 : running - m->pause * 1000000;
	m->heard = m->rush ? io->appl_ptr + io->period_size : frames_in(m, running);
	if (m->heard > io->appl_ptr + io->buffer_size)
		return -EPIPE;
	return (snd_pcm_sframes_t)(m->heard % io->buffer_size);
}

static void put(const struct mic *m, unsigned char *to, double value)
{
	int32_t n = (int32_t)(value * 2147483647.0);
	float f = (float)value;
	switch (m->format) {
	case SND_PCM_FORMAT_S32_LE: memcpy(to, &n, 4); break;
	case SND_PCM_FORMAT_FLOAT_LE: memcpy(to, &f, 4); break;
	case SND_PCM_FORMAT_S24_3LE: n >>= 8; memcpy(to, &n, 3); break;
	default: n >>= 16; memcpy(to, &n, 2); break;
	}
}

static snd_pcm_sframes_t mic_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
				      snd_pcm_uframes_t offset, snd_pcm_uframes_t size)
{
	struct mic *m = io->private_data;
	for (snd_pcm_uframes_t i = 0; i < size; i++) {
		/* The same frame is requested again until it is read, if a plugin above maps the buffer. */
		int64_t frame = (int64_t)(io->appl_ptr + i);
		/* The time at which this frame was captured. */
		double t = (double)(m->started - m->opened) / 1e9
			 + (double)frame / ((double)m->rate * (1.0 + (double)m->ppm * 1e-6));
		if (m->pause && frame > (int64_t)frames_in(m, m->pause_after * 1000000))
			t += (double)m->pause / 1e3;
		for (long c = 0; c < m->channels; c++) {
			const snd_pcm_channel_area_t *a = &areas[c];
			put(m, (unsigned char *)a->addr + (a->first + a->step * (offset + i)) / 8,
			    c == 1 ? 0.0 : 0.5 * sin(2.0 * M_PI * (double)m->hz * t));
		}
	}
	return (snd_pcm_sframes_t)size;
}

static int mic_revents(snd_pcm_ioplug_t *io, struct pollfd *fd, unsigned int count, unsigned short *revents)
{
	struct mic *m = io->private_data;
	uint64_t ticks;
	*revents = 0;
	if (count < 1 || !(fd->revents & POLLIN))
		return 0;
	if (m->storm && io->state == SND_PCM_STATE_RUNNING) {
		*revents = m->storm;
		return 0;
	}
	if (read(m->timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN)
		return -errno;
	if (mic_pointer(io) < 0)
		snd_pcm_ioplug_set_state(io, SND_PCM_STATE_XRUN);
	if (io->state != SND_PCM_STATE_RUNNING)
		*revents = POLLIN | POLLERR;
	else if (m->heard >= io->appl_ptr + io->period_size)
		*revents = POLLIN;
	return 0;
}

static int mic_close(snd_pcm_ioplug_t *io)
{
	struct mic *m = io->private_data;
	while (m->hangs_at_close)
		usleep(100000);
	close(m->timer);
	free(m);
	return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
	.start = mic_start, .stop = mic_stop, .prepare = mic_prepare, .pointer = mic_pointer,
	.transfer = mic_transfer, .poll_revents = mic_revents, .close = mic_close,
};

static int offer(snd_pcm_ioplug_t *io, const struct mic *m)
{
	const unsigned int access[] = { SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_MMAP_INTERLEAVED };
	const unsigned int format[] = { (unsigned int)m->format };
	unsigned int rate = (unsigned int)m->rate, channels = (unsigned int)m->channels;
	unsigned int frame = channels * (unsigned int)snd_pcm_format_physical_width(m->format) / 8;
	int err = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_ACCESS, 2, access);
	if (!err) err = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_FORMAT, 1, format);
	if (!err) err = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_RATE, rate, rate);
	if (!err) err = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_CHANNELS, channels, channels);
	if (!err) err = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 32 * frame, 8192 * frame);
	if (!err) err = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 128 * frame, 65536 * frame);
	return err;
}

SND_PCM_PLUGIN_DEFINE_FUNC(simmic)
{
	snd_config_iterator_t i, next;
	const char *format = "S16_LE", *fails = "", *storm = "";
	struct mic *m = calloc(1, sizeof *m);
	int err;

	(void)root;
	if (!m)
		return -ENOMEM;
	m->rate = 48000, m->channels = 1, m->hz = 1000;
	struct { const char *name; long *value; } numbers[] = {
		{ "rate", &m->rate }, { "channels", &m->channels }, { "hz", &m->hz }, { "ppm", &m->ppm },
		{ "xrun_every_ms", &m->xrun_every }, { "sleep_after_ms", &m->sleep_after },
		{ "pause_after_ms", &m->pause_after }, { "pause_ms", &m->pause },
		{ "stall_after_ms", &m->stall_after }, { "gone_after_ms", &m->gone_after },
		{ "rush", &m->rush },
		{ "hang_after_ms", &m->hang_after }, { "hangs_at_close", &m->hangs_at_close },
	};
	snd_config_for_each(i, next, conf) {
		snd_config_t *n = snd_config_iterator_entry(i);
		const char *id;
		if (snd_config_get_id(n, &id) < 0)
			continue;
		if (!strcmp(id, "format")) snd_config_get_string(n, &format);
		if (!strcmp(id, "fails")) snd_config_get_string(n, &fails);
		if (!strcmp(id, "storm")) snd_config_get_string(n, &storm);
		for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
			if (!strcmp(id, numbers[k].name)) snd_config_get_integer(n, numbers[k].value);
	}
	err = stream != SND_PCM_STREAM_CAPTURE ? -ENODEV
	    : !strcmp(fails, "EBUSY") ? -EBUSY : !strcmp(fails, "EACCES") ? -EACCES : !strcmp(fails, "ENODEV") ? -ENODEV : 0;
	m->format = snd_pcm_format_value(format);
	m->storm = !strcmp(storm, "IN") ? POLLIN : !strcmp(storm, "ERR") ? POLLERR : 0;
	if (m->format == SND_PCM_FORMAT_UNKNOWN)
		err = -EINVAL;
	m->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (m->timer < 0)
		err = -errno;
	if (err < 0)
		goto failed;
	m->opened = now_ns();
	m->io.version = SND_PCM_IOPLUG_VERSION;
	m->io.name = "simulated microphone";
	m->io.flags = SND_PCM_IOPLUG_FLAG_MONOTONIC;
	m->io.callback = &callbacks;
	m->io.private_data = m;
	m->io.poll_fd = m->timer;
	m->io.poll_events = POLLIN;
	err = snd_pcm_ioplug_create(&m->io, name, stream, mode);
	if (err < 0)
		goto failed;
	err = offer(&m->io, m);
	if (err < 0) {
		snd_pcm_ioplug_delete(&m->io); /* this also closes and frees it */
		return err;
	}
	*pcmp = m->io.pcm;
	return 0;
failed:
	if (m->timer >= 0)
		close(m->timer);
	free(m);
	return err;
}
SND_PCM_PLUGIN_SYMBOL(simmic);
