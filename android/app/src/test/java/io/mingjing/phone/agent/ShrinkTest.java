package io.mingjing.phone.agent;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import io.mingjing.phone.Company;
import java.io.File;
import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.net.URISyntaxException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.jar.JarFile;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.AfterClass;
import org.junit.BeforeClass;
import org.junit.ClassRule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import proguard.Configuration;
import proguard.ConfigurationParser;
import proguard.ProGuard;

/**
 * The app as it ships: shrunk and renamed by the rules of proguard-rules.pro and those aapt2 makes of the
 * manifest, without the ones Gradle's default file would add. What Rust, Android and the messages' runtime
 * look up by name has to be there still.
 */
public final class ShrinkTest {
    private static final String AGENT = "io.mingjing.phone.agent.";

    @ClassRule
    public static final TemporaryFolder FOLDER = new TemporaryFolder();

    private static File jar;
    private static String manifestRules;
    private static URLClassLoader app;

    /** Runs inside the shrunk app's class loader, which the library has to be loaded from. */
    public static final class Inside {
        private Inside() {
        }

        public static void load(String library) {
            System.load(library);
        }
    }

    @BeforeClass
    public static void shrink() throws Exception {
        File android = Library.file("mingjing.android", "mvn -f android/pom.xml test");
        Path here = Path.of(System.getProperty("basedir"));
        manifestRules = new String(Files.readAllBytes(here.resolve("target/resources/keep.pro")),
                StandardCharsets.UTF_8);
        jar = new File(FOLDER.getRoot(), "app.jar");
        Path rules = FOLDER.newFile("rules.pro").toPath();
        Files.write(rules, List.of(
                "-include '" + here.resolve("shrink.pro") + "'", "-outjars '" + jar + "'"));
        Configuration configuration = new Configuration();
        try (ConfigurationParser parser =
                new ConfigurationParser(rules.toFile(), System.getProperties())) {
            parser.parse(configuration);
        }
        new ProGuard(configuration).execute();
        app = new URLClassLoader(new URL[] {jar.toURI().toURL(),
            whereIs(ShrinkTest.class).toURI().toURL(), android.toURI().toURL()},
                ClassLoader.getPlatformClassLoader());
    }

    @AfterClass
    public static void close() throws IOException {
        app.close();
    }

    private static File whereIs(Class<?> it) throws URISyntaxException {
        return new File(it.getProtectionDomain().getCodeSource().getLocation().toURI());
    }

    private static List<Class<?>> classes() throws IOException, ClassNotFoundException {
        List<Class<?>> found = new ArrayList<>();
        try (JarFile entries = new JarFile(jar)) {
            for (String name : entries.stream().map(Object::toString)
                    .filter(it -> it.endsWith(".class")).collect(Collectors.toList())) {
                found.add(Class.forName(name.replace('/', '.').substring(0, name.length() - 6),
                        false, app));
            }
        }
        return found;
    }

    @Test
    public void itWasShrunkAndRenamed() throws Exception {
        assertTrue(jar.length() + " bytes",
                jar.length() < whereIs(com.google.protobuf.Parser.class).length());
        List<String> names = new ArrayList<>();
        for (Class<?> it : classes()) {
            names.add(it.getName());
        }
        assertFalse(names.contains(Phone.class.getName()));
    }

    /** Android makes them by the names in the manifest. */
    @Test
    public void whatTheManifestNamesIsThere() throws Exception {
        Matcher names = Pattern.compile("-keep class (io\\.mingjing\\S+)").matcher(manifestRules);
        int found = 0;
        while (names.find()) {
            assertNotNull(Class.forName(names.group(1), false, app).getDeclaredConstructor());
            found++;
        }
        assertTrue(manifestRules, found >= 11);
    }

    /** The runtime finds the fields of a message by name when it first touches one. */
    @Test
    public void everyMessageFindsItsFields() throws Exception {
        int messages = 0;
        for (Class<?> it : classes()) {
            Field instance;
            try {
                instance = it.getDeclaredField("DEFAULT_INSTANCE");
            } catch (NoSuchFieldException none) {
                continue;
            }
            instance.setAccessible(true);
            // Asks for the schema, which looks every field up.
            assertNotNull(it.getName(), instance.get(null).hashCode());
            messages++;
        }
        assertTrue(messages + " messages", messages > 40);
    }

    /** The app's own callbacks; Rust calls both by name. */
    @Test
    public void theAppsCallbacksAnswerToTheirNames() throws Exception {
        Class<?> callbacks = app.loadClass(AGENT + "Agent$Callbacks");
        List<String> implementers = new ArrayList<>();
        for (Class<?> it : classes()) {
            if (callbacks.isAssignableFrom(it) && !it.isInterface()) {
                assertEquals(byte[].class, it.getMethod("sign", byte[].class).getReturnType());
                assertEquals(void.class, it.getMethod("onMessage", byte[].class).getReturnType());
                implementers.add(it.getName());
            }
        }
        assertFalse(implementers.isEmpty());
    }

    /** Enrols, agrees and records through the shrunk app's native methods, callbacks and exception. */
    @Test
    public void theLibraryWorksWithTheShrunkApp() throws Exception {
        Path copy = FOLDER.newFile("libmingjing_agent.so").toPath();
        Files.copy(Library.built().toPath(), copy,
                java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        app.loadClass(Inside.class.getName()).getMethod("load", String.class)
                .invoke(null, copy.toString());
        Shrunk agent = new Shrunk();
        try {
            agent.record(Host.message(0));
            fail("nothing was started");
        } catch (RuntimeException refused) {
            assertEquals(AGENT + "AgentException", refused.getClass().getName());
            assertEquals("the agent is not started", refused.getMessage());
        }
        try (Company company = new Company(FOLDER.newFolder())) {
            Host host = new Host(agent, FOLDER.newFolder());
            host.start(company.ask("code").get(0));
            host.grant(company.password);
            agent.record(Host.accountPage(company.account));
            agent.record(Host.message(1));
            host.until("sent", it -> it.getState().equals("capturing")
                    && it.getSentMap().getOrDefault("messages", 0L) == 1);
            assertEquals(Collections.emptyList(), host.status().getProblemsList());
            agent.stop();
        }
    }

    /** The five calls of the shrunk app, by the names Rust exports them under. */
    private static final class Shrunk implements Agent {
        private static Object call(String name, Object... arguments) {
            try {
                for (Method it : app.loadClass(AGENT + "NativeAgent").getDeclaredMethods()) {
                    if (it.getName().equals(name)) {
                        it.setAccessible(true);
                        return it.invoke(null, arguments);
                    }
                }
                throw new AssertionError("no " + name);
            } catch (InvocationTargetException thrown) {
                throw (RuntimeException) thrown.getCause();
            } catch (ReflectiveOperationException error) {
                throw new AssertionError(error);
            }
        }

        @Override
        public byte[] start(byte[] request, Callbacks callbacks) {
            try {
                Class<?> named = app.loadClass(AGENT + "Agent$Callbacks");
                return (byte[]) call("nativeStart", request, Proxy.newProxyInstance(app,
                        new Class<?>[] {named}, (proxy, method, arguments) -> {
                            byte[] bytes = (byte[]) arguments[0];
                            if (method.getName().equals("sign")) {
                                return callbacks.sign(bytes);
                            }
                            callbacks.onMessage(bytes);
                            return null;
                        }));
            } catch (ClassNotFoundException error) {
                throw new AssertionError(error);
            }
        }

        @Override
        public byte[] record(byte[] fromApp) {
            return (byte[]) call("nativeRecord", new Object[] {fromApp});
        }

        @Override
        public void sync() {
            call("nativeSync");
        }

        @Override
        public byte[] status(byte[] request) {
            return (byte[]) call("nativeStatus", new Object[] {request});
        }

        @Override
        public void stop() {
            call("nativeStop");
        }
    }
}
