package io.mingjing.phone;

import io.mingjing.phone.identity.DeviceKey;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;

/** A key store that obeys, refuses, blocks or loses its key. */
final class FakeKey implements DeviceKey {
    volatile boolean refuses;
    volatile boolean lost;
    volatile CountDownLatch blocked;
    /** Signatures asked for, given or not. */
    final AtomicInteger asked = new AtomicInteger();
    private KeyPair pair = generate();

    private static KeyPair generate() {
        try {
            KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
            generator.initialize(new ECGenParameterSpec("secp256r1"));
            return generator.generateKeyPair();
        } catch (GeneralSecurityException error) {
            throw new AssertionError(error);
        }
    }

    private void check() throws KeyException {
        CountDownLatch latch = blocked;
        if (latch != null) {
            try {
                latch.await();
            } catch (InterruptedException error) {
                throw new KeyException("interrupted", false, error);
            }
        }
        if (lost) {
            throw new KeyException("the device key is gone", true, null);
        }
        if (refuses) {
            throw new KeyException("the Keystore refused", false, null);
        }
    }

    @Override
    public boolean exists() {
        return pair != null;
    }

    void forget() {
        pair = null;
    }

    @Override
    public void make(byte[] challenge) throws KeyException {
        check();
        pair = generate();
    }

    @Override
    public byte[] publicKeySpki() throws KeyException {
        check();
        return pair.getPublic().getEncoded();
    }

    @Override
    public byte[] sign(byte[] message) throws KeyException {
        asked.incrementAndGet();
        check();
        try {
            Signature signature = Signature.getInstance("SHA256withECDSA");
            signature.initSign(pair.getPrivate());
            signature.update(message);
            return signature.sign();
        } catch (GeneralSecurityException error) {
            throw new KeyException("software", false, error);
        }
    }

    @Override
    public List<byte[]> attestation() {
        return Collections.emptyList();
    }

    @Override
    public byte[] wrappingKey() throws KeyException {
        check();
        return new byte[32];
    }

    @Override
    public String protection() {
        return "software";
    }
}
