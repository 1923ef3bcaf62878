// Package sparse says which tokens of a long clip attend to which: lists of tiles of keys for each
// tile of queries, made from the clip's grid alone, so that every rank and every device has the
// same ones. It is pure.
//
// In a long clip most of attention's weight lies on tokens that are near in time, and the further
// two frames are apart, the nearer in space. What is left out are tiles of tokens, which costs
// devices nothing to skip.
package sparse
