package ftfy

import (
	"regexp"
	"strings"
)

// Categories of the characters that mojibake is made of, as insides of character classes. They and
// the rules below are those of ftfy's badness heuristic, which was fitted to real text in many
// languages. They have to agree with it, so that a prompt is repaired as in the reference.
const (
	common      = "\u00a0\u00ad·´–—―…’"
	controls    = "\u0080-\u009f"
	bad         = "¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\ufffdªº"
	law         = "¶§"
	currency    = "¢£¥₧€"
	opening     = "¡«¿©΄΅‘‚“„•‹\uf8ff"
	closing     = "®»˝”›™"
	numeric     = "²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№"
	faces       = "Ò-ÖÙ-Üò-öø-üŐŌŪŲ°"
	upperAccent = "À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ"
	lowerAccent = "ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ"
	upperCommon = "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я"
	lowerCommon = "α-ωάέήίΰа-џ"
	boxes       = "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓"

	// space and word are Python's \s and \w, for which RE2's are narrower.
	space = `\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}` +
		`\x{205f}\x{3000}`
	word = `\p{L}\p{N}_`
)

// badness matches sequences of characters that are far likelier in mojibake than in real text.
var badness = regexp.MustCompile(strings.Join([]string{
	// Characters of two categories next to each other, that real text does not have so.
	of(controls),
	of(bad, lowerAccent, upperAccent, boxes, opening, closing, currency, numeric, law) + of(bad),
	"[a-zA-Z]" + of(lowerCommon, upperCommon) + of(bad),
	of(bad) + of(lowerAccent, upperAccent, boxes, opening, closing, currency, numeric, law),
	of(lowerAccent, lowerCommon, boxes, closing, currency, numeric) + of(upperAccent),
	of(boxes, closing, currency, numeric) + of(lowerAccent),
	of(lowerAccent, boxes, closing) + of(currency),
	of(space) + of(upperAccent) + of(currency),
	of(upperAccent, boxes) + of(numeric, law),
	of(lowerAccent, upperAccent, boxes, currency, closing) + of(opening) + of(numeric),
	of(lowerAccent, upperAccent, currency, numeric, boxes, law) + of(closing) + of(opening),
	of(currency, numeric, boxes) + of(opening),
	"[a-z]" + of(upperAccent) + of(opening, currency),
	of(boxes) + of(faces),
	of(lowerAccent, upperAccent, currency, numeric, opening, closing, law) + of(boxes),
	of(boxes) + of(closing),
	of(lowerAccent, upperAccent) + of(opening, closing) + of(word),

	// Single characters that only mojibake has in such company.
	"[Œœ][^A-Za-z]",
	of(upperAccent) + "°",
	// Windows-1252: pairs, then Arabic, then South Asian alphabets
	"[ÂÃÎÐ]" + of("€œŠš¢£Ÿž\u00a0\u00ad®©°·»", opening, closing, "–—´"),
	"×[²³]",
	of("ØÙ") + arabic + of("ØÙ") + arabic,
	"à[²µ¹¼½¾]",
	// MacRoman
	"√[±∂†≠®™´≤≥¥µø]", "≈[°¢]", "‚Ä[ìîïòôúùû†°¢π]", "‚[âó][àä°ê]",
	// Windows-1251: punctuation, then Latin-1 and Cyrillic, then Latin-1 over Windows-1252
	"вЂ",
	"[ВГРС]" + of(controls, bad, opening, closing, currency, "°µ") + "[ВГРС]",
	"ГўВЂВ.[A-Za-z ]",
	// Windows-1252: à, á and the space A0
	"Ã[\u00a0¡]", "[a-z]" + of(space) + "?[ÃÂ] ", "^[ÃÂ] ",
	of("a-z.,?!", closing) + "Â" + of(" ", opening, closing),
	// Windows-1253: punctuation, then Latin-1 and Greek; Windows-1257: punctuation
	"β€[™\u00a0Ά\u00ad®°]",
	"[ΒΓΞΟ]" + of(controls, bad, opening, closing, currency, "°") + "[ΒΓΞΟ]",
	"ā€",
}, "|"))

// arabic is what Arabic letters' second bytes become in Windows-1252.
var arabic = of(common, currency, bad, numeric, opening, "ŸŠ®°µ»")

// isBad reports whether text looks like mojibake: whether badness matches anywhere.
func isBad(text string) bool { return badness.MatchString(text) }

// of returns the character class of all categories together.
func of(categories ...string) string { return "[" + strings.Join(categories, "") + "]" }
