"""Words that are no concepts, as they can be said of any clip; our own lists.

Adjectives: those of quantity, order, comparison, of being present or likely, of being described or recorded, and of
evaluation without content. Nouns: those for a clip or a description, and those that only carry an adjective. Verbs:
those of describing, having and happening. Words are base forms, as the tagger gives them.
"""

from __future__ import annotations

ADJECTIVES = frozenset(
    """
    able above-mentioned absent actual additional apparent applicable appropriate associated assorted audio auditory
    available average aware based basic being captured central certain characterised characteristic characterized chief
    closest combined common commonest comparable complete conceivable connected considerable consistent correct
    corresponding current demonstrated depicted described desired detected different discernible discussed distinct
    diverse due each either else entire equal equivalent essential evident exact existing extra featured few fewer final
    first following former found further general given good great greater half heard highly identical identifiable
    identified imaginable important included inclusive individual initial involved key kind known last later latter
    least less likely likewise lowly main many maximum meant mentioned minimum more most much multiple necessary new
    next nice notable noteworthy noticeable numerous observable observed obvious occasional only opposite original other
    overall overlapped own particular perceived perceptible plausible played possible potential predominant present
    presented previous primary principal probable produced prominent proper provided quoted real reasonable recognisable
    recognizable recorded related relative relevant remaining resulting same second secondary seen selected separate
    several shared significant similar single specific specified stated subject subsequent such sufficient suitable
    summarised summarized supposed sure taken third thorough top total true two typical unable uncertain underlying
    understood unique unknown unlikely unrelated unspecified upcoming used useful usual varied various varying very
    visible well-known whole worth
    """.split()
)

NOUNS = frozenset(
    """
    addition answer aspect assistant attribute audio caption case category characteristic clip collection combination
    common commonality comparison component conclusion content context course datum description detail difference dozen
    element everything example excerpt fact feature file focus following form group hundred idea impression information
    instance item kind list lot majority manner mention mixture most name nature nothing number one overall pair part
    percent piece plenty point portion possibility presence property quality range recording reference rest result
    sample second segment selection sense sentence series set similarity snippet something sort sound source statement
    subject summary term text theme thing time total track type use user variation variety way while word
    """.split()
)

VERBS = frozenset(
    """
    accord appear associate base be become begin belong can capture categorise categorize cause characterise
    characterize come compare compose comprise concern consist contain continue convey create define denote depict
    describe detect determine differ display do dominate emphasise emphasize exhibit exist express feature find follow
    get give go have hear identify imply include incorporate indicate infer involve keep know label lack let lie make
    may mean mention need note occur originate perceive portray present produce provide range record refer reflect
    regard relate remain represent result reveal say see seem share show signify sound start state suggest summarise
    summarize take tend think use vary
    """.split()
)
