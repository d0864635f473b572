package io.mingjing.phone.enrol;

import android.util.Base64;
import com.google.protobuf.InvalidProtocolBufferException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import mingjing.v1.EnrollmentOuterClass.EnrollmentToken;

/** An enrolment code as the console prints it (wire.md section 7). */
public final class Token {
    private static final String PREFIX = "mj1.";

    private final String text;
    private final byte[] secret;

    private Token(String text, byte[] secret) {
        this.text = text;
        this.secret = secret;
    }

    /** Reads a code; null when it is none. */
    public static Token read(String typed) {
        if (typed == null) {
            return null;
        }
        String text = typed.replaceAll("\\s", "");
        if (!text.startsWith(PREFIX)) {
            return null;
        }
        try {
            byte[] bytes = Base64.decode(text.substring(PREFIX.length()),
                    Base64.URL_SAFE | Base64.NO_PADDING | Base64.NO_WRAP);
            EnrollmentToken token = EnrollmentToken.parseFrom(bytes);
            if (token.getSecret().size() != 32 || token.getServer().isEmpty()) {
                return null;
            }
            return new Token(text, token.getSecret().toByteArray());
        } catch (IllegalArgumentException | InvalidProtocolBufferException notOurs) {
            return null;
        }
    }

    public String text() {
        return text;
    }

    /** What the key's attestation has to name. */
    public byte[] challenge() {
        try {
            return MessageDigest.getInstance("SHA-256").digest(secret);
        } catch (NoSuchAlgorithmException impossible) {
            throw new AssertionError(impossible);
        }
    }
}
