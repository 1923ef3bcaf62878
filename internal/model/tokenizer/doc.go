// Package tokenizer turns a prompt into the token ids that a UMT5 text encoder reads.
//
// A Tokenizer is built from the bytes of a Hugging Face tokenizer.json with a Unigram model, the
// kind published with T5, UMT5 and every Wan checkpoint, and gives the ids that the fast tokenizer
// of Hugging Face gives. The stages, in order:
//
//	added tokens   literal tokens such as </s> cut out of the text     added.go
//	normalizer     Precompiled charsmap, Strip, Replace                 normalizer.go, charsmap.go
//	pre-tokenizer  WhitespaceSplit, Metaspace                           pretokenizer.go
//	model          Viterbi over a byte trie, fused unknowns, bytes      unigram.go, trie.go
//	template       special tokens around the ids, such as a last </s>   template.go
//
// Clean is the prompt cleaning that diffusers' WanPipeline does before tokenizing; the repair of
// broken text that it asks for lives in package ftfy.
//
// Caveats: a file that asks for a stage not named above is refused; padding and truncation
// settings of the file are ignored, since the pipeline sets its own for each call. Grapheme
// clusters follow Unicode 15 with the combining marks of 16 and 17; the later rule that joins
// Indic conjuncts is missing, which shows only where a Latin accent follows a Devanagari,
// Bengali or Oriya letter with a nukta.
package tokenizer
