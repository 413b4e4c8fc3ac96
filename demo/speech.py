"""A spoken-like recording made of nothing: vowels by formant synthesis, hisses by filtered noise.

synthesize() gives 16 kHz mono f32 samples and the true (begin, end) of its utterances in seconds.
"""

import numpy as np

RATE = 16000
# Formant frequencies (Hz) of some vowels, and their common bandwidths.
VOWELS = {
    "a": (730, 1090, 2440, 3400),
    "e": (530, 1840, 2480, 3500),
    "i": (270, 2290, 3010, 3600),
    "o": (570, 840, 2410, 3300),
    "u": (300, 870, 2240, 3300),
}
BANDWIDTHS = (80, 100, 140, 200)
PAUSE = 0.7


def resonate(signal, frequencies, bandwidth):
    """A two-pole resonator whose frequency may change from sample to sample."""
    radius = np.exp(-np.pi * bandwidth / RATE)
    angle = 2 * np.pi * frequencies / RATE
    first, second = 2 * radius * np.cos(angle), -radius * radius
    gain = 1 - first - second
    out = np.empty_like(signal)
    y1 = y2 = 0.0
    for i, x in enumerate(signal):
        y = gain[i] * x + first[i] * y1 + second * y2
        y1, y2 = y, y1
        out[i] = y
    return out


def smooth(steps, samples):
    """A track that glides between the values of its syllables."""
    track = np.repeat(steps, samples // len(steps) + 1)[:samples]
    width = RATE // 12
    padded = np.concatenate((np.full(width, track[0]), track, np.full(width, track[-1])))
    return np.convolve(padded, np.ones(width) / width, mode="same")[width:-width]


def utterance(vowels, random, pitch):
    """Syllables of one vowel each, with a falling melody and a hiss before some of them."""
    samples = int(0.19 * RATE) * len(vowels)
    time = np.arange(samples) / RATE
    melody = pitch * (1.12 - 0.25 * time / time[-1]) * (1 + 0.04 * np.sin(2 * np.pi * 2.3 * time))
    melody *= 1 + 0.012 * smooth(random.standard_normal(samples // 160), samples)
    phase = np.cumsum(melody / RATE) % 1
    # The glottis: opens slowly, closes fast.
    source = np.where(phase < 0.6, np.sin(np.pi * phase / 0.6) ** 2 * phase, 0)
    source = np.diff(source, prepend=0) + 0.004 * random.standard_normal(samples)
    voice = source
    for index, bandwidth in enumerate(BANDWIDTHS):
        voice = resonate(voice, smooth([VOWELS[v][index] for v in vowels], samples), bandwidth)
    voice /= np.abs(voice).max()
    syllable = (time * len(vowels) / (time[-1] + 1 / RATE)) % 1
    voice *= np.clip(np.minimum(syllable / 0.18, (1 - syllable) / 0.25), 0.06, 1)
    hiss = np.diff(random.standard_normal(samples + 2), 2) * (syllable < 0.16)
    hiss *= np.repeat(random.random(len(vowels)) < 0.5, samples // len(vowels) + 1)[:samples]
    return 0.5 * voice + 0.03 * hiss


def synthesize(seed=3):
    random = np.random.default_rng(seed)
    pieces, truth, at = [np.zeros(int(PAUSE * RATE))], [], PAUSE
    for vowels, pitch in (("aeoia", 122), ("ouaie", 118), ("eaoeiua", 126)):
        sound = utterance(vowels, random, pitch)
        truth.append((at, at + len(sound) / RATE))
        pieces += [sound, np.zeros(int(PAUSE * RATE))]
        at = truth[-1][1] + PAUSE
    audio = np.concatenate(pieces)
    audio += 0.0006 * random.standard_normal(len(audio))
    return audio.astype(np.float32), truth
