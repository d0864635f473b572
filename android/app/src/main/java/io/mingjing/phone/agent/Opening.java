package io.mingjing.phone.agent;

import android.content.Context;
import android.content.SharedPreferences;
import android.os.Build;
import android.util.Base64;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.mingjing.phone.enrol.Token;
import io.mingjing.phone.identity.DeviceKey;
import java.io.File;
import mingjing.v1.App.StartReply;
import mingjing.v1.App.StartRequest;

/**
 * Opens the agent: library, key, folder. Everything here may block.
 *
 * <p>Invariant: a key that was there once is never replaced behind the employee's back; only another code
 * makes another key, and then what the old one had sealed makes room.
 */
final class Opening {
    private static final String ENROLLED = "enrolled";
    private static final String CHALLENGE = "challenge";

    private final Context context;
    private final Phone.AgentSource source;
    private final DeviceKey key;
    private final SharedPreferences kept;
    private volatile Agent agent;

    Opening(Context context, Phone.AgentSource source, DeviceKey key, SharedPreferences kept) {
        this.context = context;
        this.source = source;
        this.key = key;
        this.kept = kept;
    }

    /**
     * The agent, once it was loaded: it stays reachable whatever is wrong, because a withdrawal must get
     * through. Null before.
     */
    Agent agent() {
        return agent;
    }

    /** Opens, enrolling first when there is a code. Empty when open, else the state: not_enrolled, key_lost. */
    String open(Token token, String language, Agent.Callbacks callbacks)
            throws DeviceKey.KeyException, InvalidProtocolBufferException {
        if (agent == null) {
            agent = source.load();
        }
        File dir = new File(context.getNoBackupFilesDir(), "agent");
        if (token != null) {
            makeKeyFor(token, dir);
        }
        if (!key.exists()) {
            // A key that was there once can't be made again: nothing it signed would hold.
            return kept.getBoolean(ENROLLED, false) ? "key_lost" : "not_enrolled";
        }
        StartRequest.Builder request = StartRequest.newBuilder()
                .setDir(dir.getPath())
                .setWrappingKey(ByteString.copyFrom(key.wrappingKey()))
                .setLanguage(language)
                .setPublicKeySpki(ByteString.copyFrom(key.publicKeySpki()));
        if (token != null) {
            request.setToken(token.text())
                    .setManufacturer(Build.MANUFACTURER)
                    .setModel(Build.MODEL)
                    .setOsVersion(Build.VERSION.RELEASE);
            for (byte[] certificate : key.attestation()) {
                request.addAttestationChain(ByteString.copyFrom(certificate));
            }
        }
        StartReply reply =
                StartReply.parseFrom(agent.start(request.build().toByteArray(), callbacks));
        if (!reply.getEnrolled()) {
            return "not_enrolled";
        }
        kept.edit().putBoolean(ENROLLED, true).apply();
        return "";
    }

    /** A key is attested for one code; the same code may be tried again with the same key. */
    private void makeKeyFor(Token token, File dir) throws DeviceKey.KeyException {
        String challenge = Base64.encodeToString(token.challenge(), Base64.NO_WRAP);
        boolean enrolled = kept.getBoolean(ENROLLED, false);
        boolean same = challenge.equals(kept.getString(CHALLENGE, ""));
        if (key.exists() && (enrolled || same)) {
            return;
        }
        delete(dir);
        key.make(token.challenge());
        kept.edit().putString(CHALLENGE, challenge).putBoolean(ENROLLED, false).commit();
    }

    private static void delete(File file) {
        File[] inside = file.listFiles();
        if (inside != null) {
            for (File each : inside) {
                delete(each);
            }
        }
        if (file.exists() && !file.delete()) {
            throw new IllegalStateException("can't delete " + file.getName());
        }
    }
}
