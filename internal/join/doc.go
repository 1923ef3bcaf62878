// Package join gets a process the certificates that its cluster signs: the first one for a token,
// and from then on the next one before the present one runs out. [Join] and [Keeper] ask a
// coordinator over HTTPS; package pki takes up what they write into the folder of certificates,
// without a restart.
//
// A folder that Join or longtake pki init has made has a [File] beside the certificates, which says
// where the coordinators are. A folder without one is somebody else's, such as cert-manager's, and
// is left alone.
//
// # How a process joins
//
// The scheme is that of Docker's Swarm. A token is LT1.<SHA-256 of the CA>.<secret>.
//
//  1. The process shakes hands with the coordinator at the URL that it was given, and sends
//     nothing. The coordinator shows its certificate and the CA's. The process believes it if the
//     CA is the one that the token names, the chain leads there, and the certificate is a
//     coordinator's. From it the process learns what the cluster is called.
//  2. The process makes a key, which never leaves its machine, and a request for a certificate of
//     longtake://CLUSTER/ROLE/NAME. Over a second connection, which believes that CA alone, it
//     sends the request with the secret: POST /v1/pki/join.
//  3. The leader looks the SHA-256 of the secret up in Raft, commits that the token was used, by
//     which key and under which name, and only then hands the certificate out. Of two processes
//     with one token the second is refused on every coordinator, whoever leads.
//  4. An answer may be lost. So the same key may use the same token again while it is valid: the
//     process keeps its key, and a second try gives it a certificate.
//
// # What can go wrong
//
// A name belongs to the key that has a valid certificate of it: a second machine of the same name
// is refused, unless the token was made for that name. A process whose certificate has run out,
// since it was off for longer than that was valid, joins again with a new token.
package join
