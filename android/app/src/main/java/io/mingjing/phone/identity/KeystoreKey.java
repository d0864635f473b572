package io.mingjing.phone.identity;

import android.content.Context;
import android.content.pm.PackageManager;
import android.security.keystore.KeyGenParameterSpec;
import android.security.keystore.KeyInfo;
import android.security.keystore.KeyProperties;
import android.security.keystore.StrongBoxUnavailableException;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.Signature;
import java.security.cert.Certificate;
import java.security.spec.ECGenParameterSpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import javax.crypto.AEADBadTagException;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.SecretKey;
import javax.crypto.spec.GCMParameterSpec;

/** The device key in the Android Keystore: in a StrongBox where the phone has one. */
public final class KeystoreKey implements DeviceKey {
    private static final String STORE = "AndroidKeyStore";
    private static final String DEVICE = "mingjing-device";
    private static final String WRAPPING = "mingjing-wrapping";
    private static final int NONCE_BYTES = 12;
    private static final int TAG_BITS = 128;

    private final File wrapped;
    private final boolean strongBox;

    public KeystoreKey(Context context) {
        wrapped = new File(context.getNoBackupFilesDir(), "wrapping");
        strongBox = context.getPackageManager()
                .hasSystemFeature(PackageManager.FEATURE_STRONGBOX_KEYSTORE);
    }

    @Override
    public boolean exists() {
        try {
            return store().containsAlias(DEVICE);
        } catch (GeneralSecurityException | IOException error) {
            return false;
        }
    }

    @Override
    public void make(byte[] challenge) throws KeyException {
        try {
            store().deleteEntry(WRAPPING);
            Files.deleteIfExists(wrapped.toPath());
            if (strongBox) {
                try {
                    generate(challenge, true);
                    return;
                } catch (StrongBoxUnavailableException busy) {
                    // Some phones announce a StrongBox that makes no P-256 keys: the TEE does.
                }
            }
            generate(challenge, false);
        } catch (GeneralSecurityException | IOException | RuntimeException error) {
            throw new KeyException("the Keystore made no key: " + error.getClass().getSimpleName(),
                    false, error);
        }
    }

    private static void generate(byte[] challenge, boolean inStrongBox)
            throws GeneralSecurityException {
        KeyPairGenerator generator =
                KeyPairGenerator.getInstance(KeyProperties.KEY_ALGORITHM_EC, STORE);
        generator.initialize(new KeyGenParameterSpec.Builder(DEVICE, KeyProperties.PURPOSE_SIGN)
                .setAlgorithmParameterSpec(new ECGenParameterSpec("secp256r1"))
                .setDigests(KeyProperties.DIGEST_SHA256)
                .setAttestationChallenge(challenge)
                .setIsStrongBoxBacked(inStrongBox)
                .build());
        generator.generateKeyPair();
    }

    @Override
    public byte[] publicKeySpki() throws KeyException {
        try {
            Certificate certificate = store().getCertificate(DEVICE);
            if (certificate == null) {
                throw lost(null);
            }
            return certificate.getPublicKey().getEncoded();
        } catch (GeneralSecurityException | IOException | RuntimeException error) {
            throw refused(error);
        }
    }

    @Override
    public byte[] sign(byte[] message) throws KeyException {
        try {
            PrivateKey key = (PrivateKey) store().getKey(DEVICE, null);
            if (key == null) {
                throw lost(null);
            }
            Signature signature = Signature.getInstance("SHA256withECDSA");
            signature.initSign(key);
            signature.update(message);
            return signature.sign();
        } catch (android.security.keystore.KeyPermanentlyInvalidatedException error) {
            throw lost(error);
        } catch (GeneralSecurityException | IOException | RuntimeException error) {
            throw refused(error);
        }
    }

    @Override
    public List<byte[]> attestation() throws KeyException {
        try {
            Certificate[] chain = store().getCertificateChain(DEVICE);
            List<byte[]> encoded = new ArrayList<>();
            if (chain != null) {
                for (Certificate certificate : chain) {
                    encoded.add(certificate.getEncoded());
                }
            }
            return encoded;
        } catch (GeneralSecurityException | IOException | RuntimeException error) {
            throw refused(error);
        }
    }

    @Override
    public synchronized byte[] wrappingKey() throws KeyException {
        try {
            SecretKey key = (SecretKey) store().getKey(WRAPPING, null);
            if (wrapped.exists()) {
                if (key == null) {
                    throw lost(null);
                }
                byte[] file = Files.readAllBytes(wrapped.toPath());
                Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
                cipher.init(Cipher.DECRYPT_MODE, key,
                        new GCMParameterSpec(TAG_BITS, file, 0, NONCE_BYTES));
                return cipher.doFinal(file, NONCE_BYTES, file.length - NONCE_BYTES);
            }
            return makeWrappingKey(key == null ? makeAesKey() : key);
        } catch (AEADBadTagException error) {
            throw lost(error);
        } catch (GeneralSecurityException | IOException | RuntimeException error) {
            throw refused(error);
        }
    }

    private byte[] makeWrappingKey(SecretKey key) throws GeneralSecurityException, IOException {
        byte[] bytes = new byte[32];
        new SecureRandom().nextBytes(bytes);
        Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
        cipher.init(Cipher.ENCRYPT_MODE, key);
        byte[] nonce = cipher.getIV();
        byte[] sealed = cipher.doFinal(bytes);
        byte[] file = Arrays.copyOf(nonce, nonce.length + sealed.length);
        System.arraycopy(sealed, 0, file, nonce.length, sealed.length);
        File fresh = new File(wrapped.getPath() + ".new");
        try (FileOutputStream out = new FileOutputStream(fresh)) {
            out.write(file);
            out.getFD().sync();
        }
        if (!fresh.renameTo(wrapped)) {
            throw new IOException("can't rename " + fresh.getName());
        }
        return bytes;
    }

    private static SecretKey makeAesKey() throws GeneralSecurityException {
        KeyGenerator generator = KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, STORE);
        generator.init(new KeyGenParameterSpec.Builder(WRAPPING,
                KeyProperties.PURPOSE_ENCRYPT | KeyProperties.PURPOSE_DECRYPT)
                .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
                .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
                .setKeySize(256)
                .build());
        return generator.generateKey();
    }

    @Override
    public String protection() {
        try {
            PrivateKey key = (PrivateKey) store().getKey(DEVICE, null);
            KeyInfo info = KeyFactory.getInstance(key.getAlgorithm(), STORE)
                    .getKeySpec(key, KeyInfo.class);
            if (!info.isInsideSecureHardware()) {
                return "software";
            }
            return strongBox ? "strongbox" : "tee";
        } catch (GeneralSecurityException | IOException | RuntimeException error) {
            return "software";
        }
    }

    private static KeyStore store() throws GeneralSecurityException, IOException {
        KeyStore store = KeyStore.getInstance(STORE);
        store.load(null);
        return store;
    }

    private static KeyException lost(Throwable cause) {
        return new KeyException("the device key is gone", true, cause);
    }

    private static KeyException refused(Throwable cause) {
        return new KeyException(
                "the Keystore refused: " + cause.getClass().getSimpleName(), false, cause);
    }
}
