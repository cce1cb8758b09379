"""Sentences of the kind that captioners and summarizers write, tagged by hand: /A adjective, /N noun, /V verb, /P
preposition; no mark: anything else (determiners, adverbs, auxiliaries, pronouns, conjunctions, numbers, particles).

The first rules of `explain/_tagging_rules.py` were made while looking at DEVELOPMENT only; HELD_OUT, written beforehand,
told how good they were (the test has the numbers). Participles before a noun or after "to be" that say how something is are adjectives.
"""

from __future__ import annotations

DEVELOPMENT = """
A soft/A , high-pitched/A note/N played/V on/P a nylon/N guitar/N .
A loud/A , long/A low-pitched/A note/N played/V on/P a church/N organ/N .
A loud/A , short/A hit/N on/P a snare/N drum/N .
A recorded/A voice/N speaks/V Spanish/N .
A man/N is speaking/V while a dog/N barks/V loudly in/P the background/N .
Heavy/A rain/N falls/V on/P a metal/N roof/N .
The clips/N share/V loud/A , distorted/A and repetitive/A electric/A guitar/N sounds/N .
All of/P the clips/N contain/V high-pitched/A , sustained/A tones/N with/P a ringing/A quality/N .
A loud/A , rumbling/A engine/N with/P muffled/A voices/N .
The audio/N is noisy/A and of/P poor/A quality/N .
Low/A hissing/A noise/N is heard/V throughout/P the recording/N .
The sounds/N are warm/A , mellow/A and slightly breathy/A .
A muffled/A low-frequency/A hum/N is present/A .
Water/N is running/V from/P a tap/N into/P a sink/N .
The music/N is slow/A , calm/A and emotional/A , with/P a gentle/A piano/N melody/N .
Birds/N are chirping/V and leaves/N are rustling/V in/P the wind/N .
The commonality/N among/P these audio/N clips/N is the presence/N of/P a clear/A and crisp/A human/A voice/N .
A series/N of/P sharp/A metallic/A clicks/N .
The tone/N is dark/A and the tempo/N is fast/A .
A broken/A glass/N falls/V on/P the floor/N .
These recordings/N feature/V a variety/N of/P percussive/A instruments/N .
A child/N laughs/V and a woman/N talks/V softly .
The engine/N idles/V and then revs/V up .
A reverberant/A , echoing/A church/N bell/N rings/V .
The sound/N is distant/A , faint/A and hollow/A .
Traffic/N noise/N and a passing/A car/N with/P a honking/A horn/N .
A crackling/A fire/N burns/V .
High-quality/A recordings/N of/P brass/N instruments/N played/V at/P a loud/A volume/N .
The voice/N sounds/V harsh/A , nasal/A and strained/A .
A sudden/A burst/N of/P white/A noise/N .
Someone is typing/V on/P a keyboard/N .
A faster/A rhythm/N and a brighter/A timbre/N than in/P the other/A clips/N .
Many highly clips/N : high-pitched/A ; few lowly clips/N : low-pitched/A .
Common/A words/N are soft/A , long/A and mid-range/A .
"""

HELD_OUT = """
A short/A mid-range/A note/N played/V on/P an accordion/N .
A long/A sound/N of/P seashore/N .
A woman/N sings/V a sad/A song/N accompanied/V by/P a piano/N .
The wind/N is blowing/V hard and the microphone/N picks/V up a low/A rumble/N .
A crowd/N is cheering/V and clapping/V .
An insect/N buzzes/V near/P the microphone/N .
The clips/N have a bright/A , shrill/A and piercing/A character/N .
Each clip/N begins/V with/P a sharp/A attack/N and decays/V slowly .
The sounds/N are loud/A , abrupt/A and percussive/A , with/P little sustain/N .
A squeaking/A door/N opens/V and closes/V .
A dull/A thud/N followed/V by/P a long/A silence/N .
Children/N are playing/V and shouting/V in/P a playground/N .
The descriptions/N mention/V a high-pitched/A whistling/A sound/N .
A repetitive/A electronic/A beep/N sounds/V like/P an alarm/N .
The recording/N is distorted/A and the speech/N is barely intelligible/A .
Smooth/A , legato/A strings/N with/P a rich/A vibrato/N .
A dripping/A faucet/N in/P a quiet/A room/N .
A motorcycle/N accelerates/V and drives/V away .
The instruments/N produce/V deep/A , resonant/A and booming/A tones/N .
It is a monotonous/A , buzzing/A drone/N .
A phone/N is ringing/V in/P an office/N .
The overall/A mood/N of/P the music/N is joyful/A and energetic/A .
An old/A typewriter/N clatters/V .
Thunder/N rumbles/V in/P the distance/N .
A deep/A male/A voice/N speaks/V in/P a monotone/N .
The fast-paced/A drum/N beat/N is complex/A and syncopated/A .
Overlapping/A voices/N make/V the speech/N hard/A to understand/V .
Gentle/A waves/N crash/V against/P the shore/N .
A clear/A , bell-like/A tone/N fades/V gradually .
The similarity/N between/P the clips/N is their noisy/A , hiss-like/A texture/N .
Footsteps/N on/P gravel/N become/V louder/A .
A plucked/A string/N with/P a twangy/A sound/N .
The guitar/N is heavily distorted/A and the singer/N screams/V .
Sparse/A , atmospheric/A pads/N evolve/V over/P a steady/A pulse/N .
"""
