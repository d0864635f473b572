package io.mingjing.phone.identity;

import java.util.List;

/**
 * The key this phone is known by. One key signs certificate requests, TLS handshakes, consents, gaps and
 * checkpoints; it never leaves its store.
 */
public interface DeviceKey {
    /** Whether there is one. */
    boolean exists();

    /**
     * Makes a new one, attested with {@code challenge} (wire.md section 7). Replaces any older one, and
     * the wrapping key with it.
     */
    void make(byte[] challenge) throws KeyException;

    /** SubjectPublicKeyInfo, DER. */
    byte[] publicKeySpki() throws KeyException;

    /** ECDSA with SHA-256, DER. May block. */
    byte[] sign(byte[] message) throws KeyException;

    /** Attestation certificates, DER, leaf first; empty without attestation. */
    List<byte[]> attestation() throws KeyException;

    /** The 32 bytes that wrap the buffer's keys, made at the first call. */
    byte[] wrappingKey() throws KeyException;

    /** strongbox, tee or software. */
    String protection();

    /** The store refused, or the key is gone. */
    final class KeyException extends Exception {
        private static final long serialVersionUID = 1;
        private final boolean lost;

        public KeyException(String message, boolean lost, Throwable cause) {
            super(message, cause);
            this.lost = lost;
        }

        /** True when trying again can't help: the phone has to be enrolled again. */
        public boolean isLost() {
            return lost;
        }
    }
}
