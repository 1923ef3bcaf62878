// Package rollout says who may use which model and which feature yet: by key, by list, and by a
// percentage of keys. It is pure: where rules are kept and who asks is up to its callers.
//
// A [Rule] is about one name: a feature of the table in features.go, or a model, as model:NAME.
// Without a rule everybody may use it. Of the parts of a rule the first that fits decides: who is
// denied may not; who is in the list may; of the others, those whose bucket is below the percentage
// may. A bucket is a hash of the name and the key's id (see [Bucket]), so the same keys are let in
// on every coordinator and by every version, raising the percentage never takes a feature away from
// a key that has it, and the first tenth of one feature is not that of another.
//
// # What requests use
//
// The table of features says of each how it is read off a job's spec: after defaults were filled
// in, so that what counts is what the clip is made with, and not what the request has said. A
// feature that is added to the program needs a row there before it can be rolled out; without a
// rule about it nothing changes for anybody.
//
// # Who is who
//
// Lists have ids, which never change hands; names of keys, of which only one key at a time has
// each; and teams. Subjects of an identity provider are known by id and team alone: what they are
// called is theirs to say, and must not open what is listed under the name of a key.
package rollout
