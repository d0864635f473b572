package io.mingjing.phone.agent;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** What the tests need built first: a test without it fails and names the cure, it is never skipped. */
public final class Library {
    private static NativeAgent loaded;

    private Library() {
    }

    /** A file named by a system property. */
    public static File file(String property, String cure) {
        String path = System.getProperty(property);
        if (path == null || !new File(path).isFile()) {
            throw new AssertionError(
                    "no file at " + path + " (-D" + property + "); build it first: " + cure);
        }
        return new File(path);
    }

    /** The library that was built. */
    public static File built() {
        return file("mingjing.library",
                "cargo build -p mingjing-agent --lib --features jni-probe");
    }

    /** The agent in a copy of the library: two class loaders can't load one path. */
    public static synchronized NativeAgent load() {
        if (loaded == null) {
            try {
                Path copy = Files.createTempFile("mingjing_agent", ".so");
                Files.copy(built().toPath(), copy, StandardCopyOption.REPLACE_EXISTING);
                loaded = new NativeAgent(copy.toString());
                // Mapped by now, so nothing is left behind whatever ends the process.
                Files.delete(copy);
            } catch (IOException error) {
                throw new AssertionError(error);
            }
        }
        return loaded;
    }
}
