"""Adjectives that say how something sounds: what stands in for a chat model's judgement where there is none.

`is_acoustic` knows some 860 words of timbre, loudness, pitch, time, texture, space, recording and mood, and makes out
compounds of them: "high-frequency", "low-pitched", "bell-like", "harsh-sounding", "ultra-bright". It errs on the side
of no. Kinds of source (canine, orchestral) and plain sizes (big, small) are left out: they say nothing about the sound.

`is_basic` tells basic acoustic features (how loud, how high, of what timbre, when, where, how well recorded: what could
be measured) from what a listener makes of them (mood, style, texture of music).
"""

from __future__ import annotations

TIMBRE = """
    abrasive acid acidic airy biting bitter booming boomy bouncy brash brassy brazen breathy bright brilliant brittle
    buzzing buzzy chesty clanging clangorous clanking clattering clean clear clicking clicky coarse cold cool cracking
    crackling crackly creaking creaky crisp crunchy crystalline dark deep dense dirty distorted dull dusky dusty earthy
    edgy electric electronic fat fizzy fluffy fluty full full-bodied fuzzy glassy gleaming glitchy glittering grainy
    granular grating gravelly grinding gritty growling growly gruff gruffy gurgling gurgly guttural hard harmonic harsh
    heavy hissing hissy hoarse hollow honking honky howling humming husky icy inharmonic jangling jangly jarring
    jingling jingly juicy luminous lush mellow metallic milky muddy muffled murky nasal noisy opaque percussive piercing
    pinging plosive plucked plummy pointed pure purring rasping raspy rattling rattly raucous raw reedy resonant
    resonating rich ringing robotic rough round rounded rumbling rumbly rustling rusty sandy scraping scratchy
    screeching screechy searing sharp shimmering shimmery shrill sibilant silken silky silvery sizzling smoky smooth
    soft sonorous sparkling sparkly spectral squeaking squeaky squealing squelchy steely strident stringy synthesised
    synthesized synthetic tart thick thin throaty timbral tinkling tinkly tinny tonal toneless transparent twangy
    twinkling velvety vibrant vibrating vibratory vitreous warbling warm watery wet whining whiny whirring whispery
    whistling white whooshing wiry wispy wooden woody woolly wooly zingy
"""
LOUDNESS = """
    audible blaring blasting booming crashing deafening ear-piercing ear-splitting earsplitting enormous explosive faint
    feeble forceful forte fortissimo gentle hushed imperceptible inaudible intense loud low-key mighty moderate mute
    muted noiseless overpowering pianissimo pounding powerful punchy quiet roaring silent soft soft-spoken softened
    soundless strong subdued subtle swelling thundering thunderous unheard unobtrusive voluminous weak whispered
    whispering
"""
PITCH = """
    ascending atonal baritone bass bassy chromatic consonant contralto deep descending diatonic discordant dissonant
    falling falsetto flat fluctuating harmonious high in-tune infrasonic low major melodic melodious microtonal minor
    modal modulated modulating monophonic monotone monotonic monotonous octave off-key off-pitch out-of-tune pentatonic
    pitched pitchy polyphonic rising sharp sliding soprano subsonic sweeping tenor treble trebly tuned tuneful tuneless
    ultrasonic undulating unpitched untuned wailing wavering wobbly
"""
TIME = """
    abrupt accelerating accented arrhythmic bouncing brief brisk choppy clocklike constant continual continuous cyclic
    cyclical decaying delayed drawn-out driving droning echoing enduring erratic even fading fast fast-moving fleeting
    fluttering fluttery frantic frenetic frequent galloping gradual hectic hurried impulsive incessant instant
    instantaneous intermittent irregular jerky jumpy lasting legato leisurely lingering lively long looped looping
    metronomic momentary offbeat ongoing oscillating periodic perpetual persistent pizzicato plodding prolonged
    propulsive pulsating pulsed pulsing punctuated quick quickening quivering racing rapid recurring regular relentless
    repeated repeating repetitious repetitive rhythmic rhythmical shaky short short-lived slow slowing snappy speedy
    spiky sporadic staccato stately static steady stuttering sudden sustained swaying swift swinging syncopated
    throbbing ticking transient trembling tremulous trilling unabating unbroken uneven uninterrupted unsteady unvarying
    up-tempo upbeat uptempo vibrato
"""
TEXTURE = """
    a-cappella acoustic ambient amplified atmospheric background blended blurred broadband brushed bubbling bubbly
    bustling busy chaotic choral cluttered cohesive complex compressed condensed contrapuntal dripping dry ethereal
    expansive filtered flowing fluid focused foggy fragmented full-range gurgling harmonised harmonized hazy homogeneous
    homophonic immersive indistinct instrumental intricate layered lilting liquid minimal minimalist minimalistic
    monolithic multi-layered multilayered narrow narrowband orchestrated ornate overlapping patchy pattering plain
    rustling saturated seamless shuffling simple skittering sloshing solo sparse spattering splashing splashy sprawling
    sputtering stark stripped-down swirling swishing textural textured thudding thumping trickling turbulent
    unaccompanied unison vocal wideband
"""
SPACE = """
    anechoic binaural boxy cavernous close close-miked closed-in directional distant echoey echoic enclosed enveloping
    far far-away far-off faraway indoor monaural mono muffling nearby open outdoor panned panoramic receding reflective
    remote reverberant reverberated reverberating reverby roomy spacious spatial stereo stereophonic submerged
    surrounding underwater vast wide
"""
RECORDING = """
    aliased analog analogue bit-crushed clipped clipping corrupted crystal-clear degraded digital faded garbled grainy
    hi-fi hifi high-definition high-fidelity high-quality inferior intelligible lo-fi lofi lossy low-fidelity
    low-quality mangled overdriven overloaded poor pristine processed professional scrambled staticky studio-quality
    tape-like telephonic unclear undistorted unfiltered unintelligible unprocessed vintage well-balanced well-defined
"""
MOOD = """
    aggressive agitated agonised agonized alarming amusing angry anguished animated annoyed annoying anxious
    apprehensive assertive austere authoritative beautiful blissful bold boring brooding buoyant calm calming carefree
    catchy celebratory cheerful cheery chilling cinematic comforting comical conversational cosy cozy creepy cute
    dejected delicate delightful depressing depressive desolate desperate despondent determined disturbing doleful
    dramatic dreamlike dreamy eccentric ecstatic eerie elegant elegiac emotional emotionless emotive energetic energised
    energized engaging enthusiastic epic euphoric excited exciting expressive fearful festive fierce fiery forlorn
    frantic frenzied frightened frightening funky funny gloomy graceful grand grandiose grave grim groovy happy haunting
    heartbreaking heartfelt heavenly heroic hopeful humorous hypnotic idyllic impassioned imposing inspiring intimate
    introspective inviting irritating jaunty jolly jovial joyful joyous jubilant laid-back lamenting languid lethargic
    lifeless light light-hearted lighthearted lonely lovely lullaby-like lyrical majestic manic martial meditative
    melancholic melancholy menacing merry mischievous moody mournful moving mysterious mystical nervous nostalgic
    ominous optimistic otherworldly passionate pastoral peaceful pensive perky plaintive playful pleading pleasant
    pleasing poignant pompous powerful prayerful proud pulse-like quirky reassuring rebellious reflective regal relaxed
    relaxing resolute restful restless reverent romantic rousing sad sarcastic scary sedate sensual sensuous sentimental
    serene serious sexy sinister sleepy solemn somber sombre soothing sorrowful soulful spirited spooky startling stern
    stirring strained stressed stressful sultry suspenseful sweet tearful tempestuous tender tense terrifying tragic
    tranquil triumphant troubled unnerving unpleasant unsettling uplifting urgent vigorous violent whimsical wild
    wistful worried yearning youthful zany
"""
OF_SOUND = """
    acoustical articulate booming cacophonous chirping chirpy clamorous dulcet euphonious expressionless flutelike
    humanlike mechanical melismatic mellifluous mumbled musical natural onomatopoeic operatic phonetic rapturous
    realistic rowdy screamed screaming shouted shouting shouty shrieking slurred sonic spoken sung syllabic symphonic
    tumultuous unmelodic unmusical unvoiced voiced voiceless yelled yelling
"""

BASIC_ADJECTIVES = frozenset(" ".join((TIMBRE, LOUDNESS, PITCH, TIME, SPACE, RECORDING)).split())
"""Of basic acoustic features."""
ACOUSTIC_ADJECTIVES = BASIC_ADJECTIVES | frozenset(" ".join((TEXTURE, MOOD, OF_SOUND)).split())

_TAILS = frozenset(
    """
    bass end energy fi fidelity frequency gain intensity key like note paced pitch pitched quality range register
    resonance sounding speed spoken tempo timbre timbred tone toned treble tuned voiced volume
    """.split()
)
_HEADS = frozenset("deep fast full heavy high light long loud low medium mid middle short slow soft wide".split())
_PREFIXES = ("extra-", "hyper-", "semi-", "super-", "ultra-", "very-", "slightly-", "highly-", "softly-", "loudly-")
_ABOUT_SOUND = frozenset(
    """
    bass bell buzz chime click drone drum flute hiss horn hum machine metal noise organ percussion rattle siren song
    speech static string thunder trill trumpet voice wave whisper whistle wind
    """.split()
)


_DEGREES = frozenset(LOUDNESS.split()) | _HEADS


def is_acoustic(adjective: str) -> bool:
    """Whether an adjective (lower-case base form) says how something sounds, by the list and rules of this module."""
    return _among(adjective, ACOUSTIC_ADJECTIVES)


def is_basic(adjective: str) -> bool:
    """Whether an acoustic adjective is of a basic feature of sound. All others are taken to be of a higher level."""
    return adjective not in ACOUSTIC_ADJECTIVES - BASIC_ADJECTIVES and _among(adjective, BASIC_ADJECTIVES)


def says_degree(adjective: str) -> bool:
    """Whether an adjective says how much of something there is: how loud, high, long, fast ("loud", "low-pitched")."""
    head, hyphen, tail = adjective.rpartition("-")
    return adjective in _DEGREES or (bool(hyphen) and head in _DEGREES and tail in _TAILS)


def _among(adjective: str, known: frozenset[str]) -> bool:
    """Whether an adjective is one of those that are known, or a compound that says the like."""
    if adjective in known:
        return True
    for prefix in _PREFIXES:
        if adjective.startswith(prefix):
            return _among(adjective.removeprefix(prefix), known)
    return _is_compound_of(adjective, known) if "-" in adjective else _is_like_one_of(adjective, known)


def _is_like_one_of(adjective: str, known: frozenset[str]) -> bool:
    """Whether an adjective in -like or -ish is made of a known one, or of a thing that is known by its sound."""
    ending = next((ending for ending in ("like", "ish") if adjective.endswith(ending)), None)
    if ending is None:
        return False
    root = adjective.removesuffix(ending)
    return root in known or root in _ABOUT_SOUND


def _is_compound_of(adjective: str, known: frozenset[str]) -> bool:
    head, _, tail = adjective.rpartition("-")
    if tail in ("sounding", "like"):  # in a description of sound, something is bird-like by its sound
        return True
    if tail in _TAILS:
        return head in _HEADS or head in known
    return head in known and tail in known
