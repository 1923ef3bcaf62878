// Package pki gives the processes of a cluster their identities. A process shows a certificate
// whose URI names it, longtake://CLUSTER/ROLE/NAME; it is believed if the chain leads to one of the
// cluster's CAs. Host names count for HTTP clients alone: nodes move, and several share a machine.
//
// [Identity] is a certificate with its key and the CAs that count, read from a folder with the
// names that Kubernetes secrets have: ca.crt, tls.crt and tls.key. It looks at the files again with
// every handshake, so a renewed certificate or a second CA is in use at once, whoever wrote it:
// longtake itself, cert-manager or a script. [Authority] is a CA of longtake's own, [Issue] its
// signature under what a process asks for. Clusters with certificates from elsewhere have none.
//
// # Whom a process believes
//
// In the order in which it is looked at: the certificate is valid at this moment; its chain leads
// to a CA of ca.crt as that file is now; its one URI of longtake's is well formed; the cluster is
// this one's; nobody has revoked it; its role, or the whole ID, is what is wanted at this place.
// Each reason why one is refused is a [Reason], which the log and metrics show. The peer learns
// nothing but that its certificate is bad.
//
// A shard's certificate has no host names, so nobody who compares host names, as HTTP clients do,
// takes a shard for a coordinator.
//
// # Another CA
//
// Certificates and the CA change while connections are in use. [Authority.Next] makes a CA that is
// signed by itself and by the one before it. What it signs is shown with both: who knows the new CA
// needs no more than the first, who has not heard of it yet gets to the old one by the second. So
// it signs at once, in whatever order the processes hear of it. The old CA stays in ca.crt until
// nothing that it has signed is valid any more.
//
// # Keys
//
// Keys are ECDSA on P-256, of CAs and processes alike. Go, NATS, OpenSSL, LibreSSL, Python and
// browsers all take them; Ed25519 would do for the first four, but no browser takes it in a
// certificate, and the same certificate serves HTTP. Requests for certificates may have P-384 or
// Ed25519 keys.
//
// # Caveats
//
// All configurations are of TLS 1.3 and verify in VerifyConnection, against the CAs as they are
// then; InsecureSkipVerify is set, as the standard library would compare host names with a pool
// that never changes. There is no resumption: each connection is judged anew. A connection that is
// open stays open when its certificate runs out or is denied: who owns it has to end it.
package pki
